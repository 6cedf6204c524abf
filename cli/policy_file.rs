//! A sandbox's `proxy-config.json` on disk: read as the proxy reads it, changed under a lock, replaced
//! as a whole.

use std::path::Path;

use policy_lang::config::{Edit, docker_default};
use proxy::{ConfigError, PolicyFile};

use crate::report::{self, Failure};
use crate::state::{self, Paths, Sandbox};

/// Reads `path`. Every error in it is told at once, each on its line.
pub(crate) fn read(path: &Path) -> Result<PolicyFile, Failure> {
    PolicyFile::read(path).map_err(|error| {
        let help = error.help();
        let failure = match &error {
            ConfigError::Invalid(errors) => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Failure::new(lines.join("\nerror: "))
            }
            ConfigError::Unreadable { .. } => Failure::of(&error),
        };
        failure.maybe_help(help)
    })
}

/// Reads the policy of `sandbox`. Where it is wrong the caller hears how to go on.
pub(crate) fn of(sandbox: &Sandbox) -> Result<PolicyFile, Failure> {
    read(&sandbox.config()).map_err(|failure| {
        failure.also_help(format_args!(
            "mend `{}`, or begin anew with `sandbox network proxy {} --reset`{}",
            sandbox.config().display(),
            sandbox.record.name,
            match sandbox.is_running() {
                true => "; until then the last good policy is in force",
                false => "",
            }
        ))
    })
}

/// Reads the policy that new sandboxes start with, in the same way.
pub(crate) fn default(paths: &Paths) -> Result<PolicyFile, Failure> {
    let path = paths.default_policy();
    read(&path).map_err(|failure| {
        failure.also_help(format_args!(
            "mend `{}`, or remove it, and the next sandbox makes it anew",
            path.display()
        ))
    })
}

/// Tells what its author may not have meant.
pub(crate) fn tell_warnings(file: &PolicyFile) {
    for warning in &file.warnings {
        report::say(format_args!("warning: {warning}"));
    }
}

/// Makes the default policy file unless it is there; nothing rewrites it later.
pub(crate) fn ensure_default(paths: &Paths) -> Result<(), Failure> {
    let text = docker_default().to_string();
    state::create_once(&paths.default_policy(), text.as_bytes())
}

/// Makes `edits` to the sandbox's policy, or to `from` and gives it that, all or none. Two that edit at
/// once take turns.
pub(crate) fn edit(
    sandbox: &Sandbox,
    from: Option<PolicyFile>,
    edits: Vec<Edit>,
) -> Result<(), Failure> {
    let _turn = state::lock_exclusive(&sandbox.dir.join("policy.lock"))?;
    let mut document = match from {
        Some(from) => from.document,
        None => of(sandbox)?.document,
    };
    for edit in edits {
        document.apply(edit);
    }
    let text = document.to_string();
    state::replace_if(&sandbox.config(), text.as_bytes(), |new| {
        read(new).map(|file| tell_warnings(&file))
    })
}
