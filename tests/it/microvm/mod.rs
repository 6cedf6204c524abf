//! Tests that boot real microVMs. Each is one story, since a boot costs seconds under emulation.

mod agents;
mod clients;
mod docker;
mod docker_socket;
mod killed;
mod lifecycle;
mod notes;
mod saving;
mod unaware;
mod vendors;

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Home, Ran};

/// A sandbox that has been made and started, with a policy that denies what is not named.
pub(super) struct Running {
    pub(super) home: Home,
    pub(super) name: &'static str,
    /// Environment of every command: what the proxy trusts, say.
    env: Vec<(String, String)>,
}

impl Running {
    pub(super) fn start(name: &'static str, env: &[(&str, &str)]) -> Self {
        Self::start_with(name, env, &[])
    }

    /// The same, with more flags for `create`.
    pub(super) fn start_with(name: &'static str, env: &[(&str, &str)], flags: &[&str]) -> Self {
        let running = Self::adopt(Home::new(), name, env);
        running.ok(&[&["create", "--name", name], flags, &["shell", "."]].concat());
        running.ok(&["network", "proxy", name, "--policy", "deny"]);
        running.ok(&["run", "--detached", name]);
        running
    }

    /// One that `home` has already, started when it is first used.
    pub(super) fn adopt(home: Home, name: &'static str, env: &[(&str, &str)]) -> Self {
        let env = env.iter();
        let env = env.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self {
            home,
            name,
            env: env.collect(),
        }
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Runs `sandbox ARGS…`, which must succeed.
    pub(super) fn ok(&self, args: &[&str]) -> String {
        let ran = Ran::from(self.command(args).output().unwrap());
        assert_eq!(ran.code, 0, "sandbox {args:?}: {ran:?}");
        ran.stdout
    }

    /// Runs a shell command inside as the agent.
    pub(super) fn inside(&self, script: &str) -> Ran {
        let args = ["exec", self.name, "sh", "-c", script];
        Ran::from(self.command(&args).output().unwrap())
    }

    /// The same, where it must succeed.
    pub(super) fn ok_inside(&self, script: &str) -> String {
        let ran = self.inside(script);
        assert_eq!(ran.code, 0, "{script}: {ran:?}");
        ran.stdout
    }

    /// Changes the policy.
    pub(super) fn policy(&self, flags: &[&str]) {
        self.ok(&[&["network", "proxy", self.name], flags].concat());
    }

    /// Whether the guest's processor is emulated, and everything inside slow.
    pub(super) fn is_emulated(&self) -> bool {
        let told: serde_json::Value =
            serde_json::from_str(&self.ok(&["inspect", self.name])).unwrap();
        told[0]["vm"]["accel"] == "tcg"
    }

    /// The network log, as Docker's lines.
    pub(super) fn log(&self) -> String {
        self.ok(&["network", "log", self.name])
    }
}

/// Waits for something that another process brings about.
pub(super) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
