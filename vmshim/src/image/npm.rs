//! Programs from the npm registry that npm itself is configured for, laid into a template as files.
//!
//! npm resolves, downloads, checks integrity and unpacks. No package's install script runs: on the host it would be
//! a stranger's program outside of every sandbox. What those scripts would have done is a link that a recipe names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Error;
use crate::cache;
use crate::progress::{Event, Progress};
use crate::tool::Tool;

const NPM: Tool = Tool {
    program: "npm",
    package: "npm",
};
const TAR: Tool = Tool {
    program: "tar",
    package: "tar",
};

/// What a recipe takes from npm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packages {
    /// As npm reads them: `name` or `name@version`. `{cpu}` is the processor in npm's words.
    pub(super) specs: &'static [&'static str],
    /// Commands that a package's install script would have made: a name and a file below `lib/node_modules`.
    pub(super) links: &'static [(&'static str, &'static str)],
}

/// The processor as npm and as Rust's target triples call it.
fn machine() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "aarch64" => ("arm64", "aarch64"),
        _ => ("x64", "x86_64"),
    }
}

fn for_machine(text: &str) -> String {
    let (cpu, triple) = machine();
    text.replace("{cpu}", cpu).replace("{triple}", triple)
}

/// Fetches `packages` and packs them into a tar file in `draft`, to be unpacked in `/usr/local`.
pub(super) fn fetch(
    packages: &Packages,
    draft: &Path,
    progress: &dyn Progress,
) -> Result<PathBuf, Error> {
    progress.event(Event::Phase("fetching packages from npm"));
    let prefix = draft.join("npm");
    let (cpu, _) = machine();
    let mut install = NPM.command();
    install
        .args(["install", "--global", "--ignore-scripts"])
        .args(["--no-audit", "--no-fund", "--no-update-notifier"])
        .args(["--os=linux", "--libc=glibc"])
        .arg(format!("--cpu={cpu}"))
        .arg("--prefix")
        .arg(&prefix)
        .args(packages.specs.iter().map(|spec| for_machine(spec)))
        // A project's own `.npmrc` is not the user's configuration.
        .current_dir(draft);
    NPM.output(&mut install)?;
    for (name, file) in packages.links {
        link(&prefix, name, &for_machine(file))?;
    }
    let archive = draft.join("npm.tar");
    let mut pack = TAR.command();
    pack.arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&prefix)
        .args(["--owner=0", "--group=0", "--numeric-owner", "--sort=name"])
        .args(["--mode=u+rwX,go+rX,go-w", "bin", "lib"]);
    TAR.output(&mut pack)?;
    // Leftovers would be harmless, and the cache clears its drafts.
    let _ = fs::remove_dir_all(&prefix);
    Ok(archive)
}

/// Makes the command `name`, unless the package lacks its file.
fn link(prefix: &Path, name: &str, file: &str) -> Result<(), Error> {
    let target = Path::new("lib/node_modules").join(file);
    if !prefix.join(&target).is_file() {
        return Err(Error::NoProgram {
            name: name.to_owned(),
            file: target,
        });
    }
    let path = prefix.join("bin").join(name);
    let made = match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => symlink(Path::new("..").join(target), &path),
    };
    made.map_err(|source| cache::Error::Io { path, source }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_the_place_of_a_stub_and_needs_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("lib/node_modules/pkg-linux")).unwrap();
        fs::create_dir_all(at("bin")).unwrap();
        fs::write(at("lib/node_modules/pkg-linux/tool"), "native").unwrap();
        symlink("../lib/node_modules/pkg/stub", at("bin/tool")).unwrap();
        link(dir.path(), "tool", "pkg-linux/tool").unwrap();
        assert_eq!(fs::read_to_string(at("bin/tool")).unwrap(), "native");
        let error = link(dir.path(), "tool", "pkg-linux/other").unwrap_err();
        let said = "npm's package has no program `tool` for this machine: `lib/node_modules/pkg-linux/other` is missing";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn words_for_the_processor_are_filled_in() {
        let text = for_machine("a-{cpu}/b-{triple}");
        assert!(
            matches!(text.as_str(), "a-x64/b-x86_64" | "a-arm64/b-aarch64"),
            "{text}"
        );
    }
}
