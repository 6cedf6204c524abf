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

/// The same, and tells its warnings.
pub(crate) fn read_aloud(path: &Path) -> Result<PolicyFile, Failure> {
    let file = read(path)?;
    for warning in &file.warnings {
        report::say(format_args!("warning: {warning}"));
    }
    Ok(file)
}

/// Makes the default policy file unless it is there; nothing rewrites it later.
pub(crate) fn ensure_default(paths: &Paths) -> Result<(), Failure> {
    let text = docker_default().to_string();
    state::create_once(&paths.default_policy(), text.as_bytes())
}

/// Makes `edits` to the policy in `from` and gives it to `sandbox`, all or none. Two that edit at
/// once take turns.
pub(crate) fn edit(sandbox: &Sandbox, from: &Path, edits: Vec<Edit>) -> Result<(), Failure> {
    let _turn = state::lock_exclusive(&sandbox.dir.join("policy.lock"))?;
    let mut document = read(from)?.document;
    for edit in edits {
        document.apply(edit);
    }
    let text = document.to_string();
    state::replace_if(&sandbox.config(), text.as_bytes(), |new| {
        read_aloud(new).map(|_| ())
    })
}
