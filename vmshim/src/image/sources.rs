//! The host's own apt sources, which the template is installed from and keeps for the guest's apt.
//!
//! Only entries of the host's own release are taken: a third party's repository on the host is the host's business.
//! Formats: sources.list(5), one line or deb822.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Error;

/// Package sources for one release of a distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub(super) release: String,
    pub(super) one_line: String,
    pub(super) deb822: String,
    /// Key files that entries name, to be copied into the template.
    pub(super) keyrings: BTreeSet<PathBuf>,
}

impl Sources {
    /// Reads the sources of the machine whose file tree starts at `root`, normally `/`.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let os_release = root.join("etc/os-release");
        let release = codename(&read(&os_release)?);
        let mut sources = Self {
            release,
            ..Self::default()
        };
        let list = root.join("etc/apt/sources.list");
        if list.exists() {
            sources.add_one_line(&read(&list)?);
        }
        for path in parts(&root.join("etc/apt/sources.list.d")) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("list") => sources.add_one_line(&read(&path)?),
                Some("sources") => sources.add_deb822(&read(&path)?),
                _ => {} // apt ignores them too
            }
        }
        if sources.one_line.is_empty() && sources.deb822.is_empty() {
            return Err(Error::NoSources {
                release: sources.release,
            });
        }
        Ok(sources)
    }

    /// What a template depends on.
    pub(super) fn fingerprint(&self) -> String {
        format!(
            "{}\n{}\n{}\n{:?}",
            self.release, self.one_line, self.deb822, self.keyrings
        )
    }

    fn add_one_line(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            let Some(rest) = line.strip_prefix("deb ").map(str::trim_start) else {
                continue;
            };
            let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            {
                Some((options, rest)) => (options, rest),
                None => ("", rest),
            };
            let mut words = rest.split_whitespace();
            let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
                continue;
            };
            if !self.wants(uri, suite) {
                continue;
            }
            let signed_by = options
                .split_whitespace()
                .find_map(|o| o.strip_prefix("signed-by="));
            self.add_keyrings(signed_by.unwrap_or_default());
            self.one_line.push_str(line);
            self.one_line.push('\n');
        }
    }

    fn add_deb822(&mut self, text: &str) {
        let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for stanza in uncommented.split(|line| line.trim().is_empty()) {
            let field = |name| field(stanza, name).unwrap_or_default();
            let types_deb = field("Types").split_whitespace().any(|kind| kind == "deb");
            let disabled = field("Enabled").eq_ignore_ascii_case("no");
            let uris = field("URIs");
            let suites = field("Suites");
            let wanted = |suite| uris.split_whitespace().any(|uri| self.wants(uri, suite));
            if disabled || !types_deb || !suites.split_whitespace().any(wanted) {
                continue;
            }
            let signed_by = field("Signed-By").to_owned();
            self.add_keyrings(&signed_by);
            self.deb822.push_str(&stanza.join("\n"));
            self.deb822.push_str("\n\n");
        }
    }

    fn wants(&self, uri: &str, suite: &str) -> bool {
        // `bookworm`, `bookworm-updates`, `bookworm-security`: a release's suites begin with its code name.
        let own = suite == self.release
            || suite
                .strip_prefix(&self.release)
                .is_some_and(|rest| rest.starts_with(['-', '/']));
        own && !uri.starts_with("cdrom:") && !uri.starts_with("file:")
    }

    fn add_keyrings(&mut self, signed_by: &str) {
        let paths = signed_by.split(|c: char| c == ',' || c.is_whitespace());
        self.keyrings.extend(
            paths
                .filter(|path| path.starts_with('/'))
                .map(PathBuf::from),
        );
    }

    #[cfg(test)]
    pub(super) fn for_tests(one_line: &str) -> Self {
        Self {
            one_line: one_line.to_owned(),
            ..Self::default()
        }
    }
}

/// The value of a one-line field of a deb822 stanza.
fn field<'a>(stanza: &[&'a str], name: &str) -> Option<&'a str> {
    stanza.iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn codename(os_release: &str) -> String {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    value.unwrap_or_default().trim_matches('"').to_owned()
}

/// The files of a `.d` folder in the order in which apt reads them.
fn parts(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<String, Error> {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    text.map_err(|source: io::Error| Error::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const RELEASE: (&str, &str) = ("etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n");

    #[test]
    fn keeps_the_releases_own_entries_only() {
        let own = "Types: deb deb-src\nURIs: http://mirror.invalid/debian\nSuites: bookworm bookworm-updates\n\
                   Components: main\nSigned-By: /usr/share/keyrings/own.gpg";
        let deb822 = format!(
            "# a comment\n{own}\n\nTypes: deb\nURIs: http://other.invalid\nSuites: nodistro\nComponents: main\n\n\
             Types: deb\nEnabled: no\nURIs: http://off.invalid\nSuites: bookworm\nComponents: main\n"
        );
        let list = "# deb http://commented.invalid bookworm main\n\
                    deb [arch=amd64 signed-by=/etc/apt/keyrings/line.asc] http://line.invalid bookworm-security main\n\
                    deb-src http://line.invalid bookworm main\ndeb cdrom:[disc]/ bookworm main\n\
                    deb http://line.invalid bookwormish main\n";
        let dir = machine(&[
            RELEASE,
            ("etc/apt/sources.list", list),
            ("etc/apt/sources.list.d/debian.sources", &deb822),
            (
                "etc/apt/sources.list.d/third.list.disabled",
                "deb http://no.invalid bookworm main\n",
            ),
        ]);
        let sources = Sources::read(dir.path()).unwrap();
        assert_eq!(sources.release, "bookworm");
        assert_eq!(sources.one_line.lines().count(), 1);
        assert!(
            sources.one_line.contains("bookworm-security"),
            "{}",
            sources.one_line
        );
        assert_eq!(sources.deb822, format!("{own}\n\n"));
        let keys: Vec<_> = sources
            .keyrings
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            keys,
            ["/etc/apt/keyrings/line.asc", "/usr/share/keyrings/own.gpg"]
        );
    }

    #[test]
    fn no_entry_is_an_error_that_names_the_release() {
        let dir = machine(&[RELEASE]);
        let error = Sources::read(dir.path()).unwrap_err();
        let wanted = "apt on this machine has no package source for its own release `bookworm`";
        assert_eq!(error.to_string(), wanted);
    }
}
