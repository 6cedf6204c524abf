//! Programs of the host that we run, with errors that say what was missing or what they said.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::progress::{Event, Progress};

/// Why a program of the host was of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not on this machine.
    #[error("`{program}` is not installed")]
    Missing {
        /// The program's name.
        program: String,
        /// The Debian or Ubuntu package that brings it.
        package: &'static str,
    },
    /// Present, but the operating system would not start it.
    #[error("`{program}` could not be started")]
    Start {
        /// The program's name.
        program: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// It ran and reported failure.
    #[error("`{program}` failed: {said}")]
    Failed {
        /// The program's name.
        program: String,
        /// Its last words, one line.
        said: String,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing { package, .. } => {
                Some(format!("install it with `apt-get install {package}`"))
            }
            Self::Start { .. } | Self::Failed { .. } => None,
        }
    }
}

/// A program of the host and the package that brings it.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The name looked up in `PATH`.
    pub program: &'static str,
    /// The Debian or Ubuntu package named in the error when it is missing.
    pub package: &'static str,
}

impl Tool {
    /// A command for this tool, in the plain locale, with no standard input.
    pub fn command(self) -> Command {
        let mut command = Command::new(self.program);
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        // Debian keeps mke2fs, depmod and the like where an unprivileged PATH does not look.
        command.env("PATH", search_path(std::env::var_os("PATH").as_deref()));
        command
    }

    /// The same, in a namespace of processes and mounts of its own where this user may make one.
    ///
    /// However we die, all of it ends and every mount it made is gone. Left to itself, a killed build leaves the
    /// host's `/proc` and `/sys` mounted inside its tree, where removing the tree would reach them.
    pub fn contained_command(self) -> Command {
        const SETPRIV: Tool = Tool {
            program: "setpriv",
            package: "util-linux",
        };
        if !installed(self.program) || !installed(SETPRIV.program) {
            return self.command(); // whose start says what is missing
        }
        let mut command = SETPRIV.command();
        if can_contain() {
            command
                .args(["--pdeathsig", "KILL", "--", UNSHARE.program])
                .args(CONTAIN)
                .arg(self.program);
        } else {
            command.args(["--pdeathsig", "TERM", "--", self.program]);
        }
        command
    }

    /// Runs `command` to its end and returns its standard output as text.
    pub fn output(self, command: &mut Command) -> Result<String, Error> {
        let output = command
            .output()
            .map_err(|source| self.start_error(source))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut said = Said::default();
        String::from_utf8_lossy(&output.stderr)
            .lines()
            .for_each(|line| said.hear(line));
        Err(self.failed(&output.status.to_string(), said.verdict()))
    }

    /// Runs `command` to its end and hands every line of its standard error to `line`.
    pub fn stream(
        self,
        command: &mut Command,
        progress: &dyn Progress,
        mut line: impl FnMut(&str, &dyn Progress),
    ) -> Result<(), Error> {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| self.start_error(source))?;
        let mut said = Said::default();
        if let Some(stderr) = child.stderr.take() {
            for text in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&text);
                line(text.trim_end(), progress);
                said.hear(&text);
            }
        }
        let status = child.wait().map_err(|source| self.start_error(source))?;
        if status.success() {
            return Ok(());
        }
        Err(self.failed(&status.to_string(), said.verdict()))
    }

    /// Why the tool did not start: mostly that it is not there.
    pub(crate) fn start_error(self, source: std::io::Error) -> Error {
        let program = self.program.to_owned();
        // A folder in PATH that may not be searched makes it EACCES.
        if source.kind() == std::io::ErrorKind::NotFound || !installed(self.program) {
            return Error::Missing {
                program,
                package: self.package,
            };
        }
        Error::Start { program, source }
    }

    fn failed(self, status: &str, said: String) -> Error {
        let said = if said.is_empty() {
            status.to_owned()
        } else {
            said
        };
        Error::Failed {
            program: self.program.to_owned(),
            said,
        }
    }
}

/// Forwards a line as [`Event::Line`].
pub fn as_line(line: &str, progress: &dyn Progress) {
    progress.event(Event::Line(line));
}

const UNSHARE: Tool = Tool {
    program: "unshare",
    package: "util-linux",
};

/// Options of unshare(1): new mounts that stay inside, new processes that end with their first.
const CONTAIN: [&str; 7] = [
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
];

/// Whether [`Tool::contained_command`] can make namespaces. An ordinary user can't, but neither can it mount.
pub fn can_contain() -> bool {
    UNSHARE
        .output(UNSHARE.command().args(CONTAIN).arg("true"))
        .is_ok()
}

/// Whether this user can leave the network and the file system by a user namespace of its own, as the VMM and the
/// servers of shared folders do.
pub fn can_leave() -> bool {
    let namespaces = ["--user", "--map-root-user", "--mount", "--net"];
    UNSHARE
        .output(UNSHARE.command().args(namespaces).arg("true"))
        .is_ok()
}

/// Whether a program of this name is found on the extended search path.
pub fn installed(program: &str) -> bool {
    let path = search_path(std::env::var_os("PATH").as_deref());
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

pub(crate) fn search_path(path: Option<&OsStr>) -> std::ffi::OsString {
    let mut all = path.unwrap_or_default().to_owned();
    if !all.is_empty() {
        all.push(":");
    }
    all.push("/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    all
}

/// What is worth quoting of a failed program's output.
#[derive(Default)]
struct Said {
    /// The first complaint; later ones only follow from it.
    complaint: Option<String>,
    last: String,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let line = line.trim();
        let complains = ["E: ", "<E>", "error"]
            .iter()
            .any(|start| line.starts_with(start));
        if self.complaint.is_none() && (complains || line.contains(": error")) {
            self.complaint = Some(line.to_owned());
        }
        if !line.is_empty() {
            line.clone_into(&mut self.last);
        }
    }

    fn verdict(self) -> String {
        self.complaint.unwrap_or(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    const SH: Tool = Tool {
        program: "sh",
        package: "dash",
    };

    #[test]
    fn a_missing_program_names_its_package() {
        let tool = Tool {
            program: "no-such-program-here",
            package: "some-package",
        };
        let error = tool.output(&mut tool.command()).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` is not installed");
        assert_eq!(
            error.help().unwrap(),
            "install it with `apt-get install some-package`"
        );
    }

    #[test]
    fn a_failure_quotes_the_complaint() {
        let rows = [
            (
                "echo one >&2; echo 'E: no space' >&2; echo bye >&2; exit 1",
                "E: no space",
            ),
            ("echo only >&2; exit 3", "only"),
            ("exit 3", "exit status: 3"),
        ];
        for (script, said) in rows {
            let wanted = format!("`sh` failed: {said}");
            let error = SH.output(SH.command().args(["-c", script])).unwrap_err();
            assert_eq!(error.to_string(), wanted);
            let error = SH
                .stream(SH.command().args(["-c", script]), &Silent, as_line)
                .unwrap_err();
            assert_eq!(error.to_string(), wanted);
        }
    }
}
