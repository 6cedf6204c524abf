//! Downloads the distribution's kernel package and unpacks it, without installing and without privilege.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::Error;
use crate::progress::{Event, Progress};
use crate::tool::{self, Tool};

const APT_GET: Tool = Tool {
    program: "apt-get",
    package: "apt",
};
const APT_CACHE: Tool = Tool {
    program: "apt-cache",
    package: "apt",
};
const DPKG_DEB: Tool = Tool {
    program: "dpkg-deb",
    package: "dpkg",
};

/// Packages that only depend on the current kernel, the smallest kernel for virtual machines first.
const META: [&str; 4] = [
    "linux-image-cloud-amd64",
    "linux-image-virtual",
    "linux-image-amd64",
    "linux-image-generic",
];

/// Unpacks the current kernel package of this machine's distribution into a temporary folder.
pub(super) fn unpack(progress: &dyn Progress) -> Result<TempDir, Error> {
    if !tool::installed("apt-get") {
        return Err(Error::NoApt);
    }
    let temp = TempDir::with_prefix("sandbox-kernel-").map_err(Error::at(&std::env::temp_dir()))?;
    let apt = Apt::choose(temp.path(), progress)?;
    progress.event(Event::Phase("downloading the kernel package"));
    let mut download = apt.command(APT_GET);
    download
        .arg("download")
        .args(&apt.packages)
        .current_dir(temp.path());
    APT_GET
        .stream(&mut download, progress, tool::as_line)
        .map_err(Error::Download)?;
    progress.event(Event::Phase("unpacking the kernel package"));
    let root = temp.path();
    for entry in root
        .read_dir()
        .map_err(Error::at(root))?
        .filter_map(Result::ok)
    {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            DPKG_DEB.output(DPKG_DEB.command().arg("-x").arg(path).arg(root))?;
        }
    }
    Ok(temp)
}

/// apt with the machine's package lists or, when those are empty, with lists of our own.
struct Apt {
    options: Vec<String>,
    packages: Vec<String>,
}

impl Apt {
    fn choose(temp: &Path, progress: &dyn Progress) -> Result<Self, Error> {
        let mut apt = Self {
            options: Vec::new(),
            packages: Vec::new(),
        };
        if apt.find_packages()? {
            return Ok(apt);
        }
        // A fresh container has no lists, and refreshing the machine's own would need root.
        progress.event(Event::Phase("fetching package lists"));
        for (key, folder) in [("Dir::State::Lists", "lists"), ("Dir::Cache", "cache")] {
            let path = temp.join(folder);
            std::fs::create_dir_all(path.join("partial")).map_err(Error::at(&path))?;
            apt.options.push(format!("-o{key}={}", path.display()));
        }
        let mut update = apt.command(APT_GET);
        update.arg("update");
        APT_GET
            .stream(&mut update, progress, tool::as_line)
            .map_err(Error::Download)?;
        if apt.find_packages()? {
            Ok(apt)
        } else {
            Err(Error::NoPackage)
        }
    }

    fn command(&self, tool: Tool) -> Command {
        let mut command = tool.command();
        command.arg("-q").args(&self.options);
        // apt as root hands downloads to the user `_apt`, who cannot write to a private folder.
        command.arg("-oAPT::Sandbox::User=root");
        command
    }

    /// Follows the first meta package that apt knows down to packages with files in them.
    fn find_packages(&mut self) -> Result<bool, Error> {
        for meta in META {
            let mut found = Vec::new();
            self.follow(meta, &mut found)?;
            if !found.is_empty() {
                self.packages = found;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn follow(&self, package: &str, found: &mut Vec<String>) -> Result<(), Error> {
        let mut command = self.command(APT_CACHE);
        command.args(["depends", "--important", package]);
        let depends = match APT_CACHE.output(&mut command) {
            Ok(text) => text,
            Err(tool::Error::Failed { .. }) => return Ok(()), // unknown to apt
            Err(error) => return Err(error.into()),
        };
        for next in dependencies(&depends) {
            if !found.iter().any(|known| known == next) {
                found.push(next.to_owned());
                self.follow(next, found)?;
            }
        }
        Ok(())
    }
}

/// Versioned kernel and module packages among the lines of `apt-cache depends`.
fn dependencies(text: &str) -> impl Iterator<Item = &str> {
    let versioned = |name: &str| {
        ["linux-image-", "linux-modules-"].iter().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    text.lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches('|')
                .strip_prefix("Depends: ")
        })
        .map(str::trim)
        .filter(move |name| versioned(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependency_rows() {
        let debian = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        let ubuntu = "linux-image-6.8.0-31-generic\n  Depends: kmod\n |Depends: linux-base\n  \
                      Depends: linux-modules-6.8.0-31-generic\n";
        let rows: [(&str, &[&str]); 3] = [
            (debian, &["linux-image-6.1.0-56-cloud-amd64"]),
            (ubuntu, &["linux-modules-6.8.0-31-generic"]),
            ("linux-image-6.1.0-56-cloud-amd64\n", &[]),
        ];
        for (text, wanted) in rows {
            assert_eq!(dependencies(text).collect::<Vec<_>>(), wanted);
        }
    }
}
