//! What the tests share: a home of their own for every test, and the binary under test in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A user who has just installed the program: an empty `HOME`, a runtime directory, a project.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        // Short, and not below the build directory: socket paths end at 107 bytes.
        let dir = tempfile::Builder::new().prefix("sb-").tempdir().unwrap();
        for sub in ["home", "run", "project"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A folder to share.
    pub(crate) fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// `sandbox ARGS…`, to be run by this user in their project.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
        command
            .args(args)
            .current_dir(self.project())
            .env("HOME", self.path())
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            .env("SANDBOX_CACHE", cache())
            .stdin(Stdio::null());
        command
    }

    /// `sandbox proxy` on a port of the system's choice, under the project's `proxy-config.json`.
    pub(crate) fn proxy(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["proxy", "--listen", "127.0.0.1:0"]);
        command.args(["--config", "proxy-config.json"]).args(more);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed and returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "sandbox {args:?}: {ran:?}");
        ran.stdout
    }

    /// Where the sandbox `name` is kept.
    pub(crate) fn sandbox_dir(&self, name: &str) -> PathBuf {
        self.path().join(".docker/sandboxes/vm").join(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A failed test leaves its microVM running; the next test wants the processor.
        let names = self.run(&["ls", "-q"]).stdout;
        let names: Vec<&str> = names.split_whitespace().collect();
        if !names.is_empty() {
            self.run(&[&["rm"], names.as_slice()].concat());
        }
    }
}

/// The command under a limit, in the words of the shell's `ulimit`.
pub(crate) fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit {limit} && exec \"$@\"");
    shell
        .args(["-c", &script, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    for (key, value) in command.get_envs() {
        shell.env(key, value.unwrap());
    }
    shell
}

/// How often a test kills what it tests: `usual`, or what `SANDBOX_KILLS` says.
pub(crate) fn kills(usual: usize) -> usize {
    std::env::var("SANDBOX_KILLS").map_or(usual, |kills| kills.parse().unwrap())
}

/// Kernel and template, made once for all tests.
pub(crate) fn cache() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
