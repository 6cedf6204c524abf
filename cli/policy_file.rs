//! A `proxy-config.json` on disk: read, changed under a lock, replaced as a whole.

use std::fs;
use std::path::Path;

use policy_lang::Policy;
use policy_lang::config::{self, Document, Edit, docker_default};

use crate::report::{self, Failure};
use crate::state::{self, Paths, Sandbox};

/// Larger than any policy that a person or a list maker writes.
const MAX_BYTES: u64 = 256 << 20;

/// A policy file that was read and found good.
pub(crate) struct PolicyFile {
    pub(crate) document: Document,
    pub(crate) policy: Policy,
    pub(crate) warnings: Vec<String>,
}

impl PolicyFile {
    /// Reads `path`. Every error in it is reported at once, with its place.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let cannot =
            |error: std::io::Error| Failure::doing(format!("cannot read `{shown}`"), &error);
        if fs::metadata(path).map_err(cannot)?.len() > MAX_BYTES {
            return Err(Failure::new(format!("`{shown}` is larger than 256 MiB")));
        }
        let text = fs::read_to_string(path).map_err(cannot)?;
        let (document, mut warnings) =
            Document::parse(&text, &shown.to_string()).map_err(|errors| told(&errors))?;
        let (policy, more) = document.compile().map_err(|errors| told(&errors))?;
        warnings.extend(more);
        Ok(Self {
            document,
            policy,
            warnings: warnings.iter().map(ToString::to_string).collect(),
        })
    }
}

/// All errors of a file as one failure: each on its line, the first one's advice last.
fn told(errors: &[config::Error]) -> Failure {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let help = errors.first().and_then(config::Error::help);
    Failure::new(lines.join("\nerror: ")).maybe_help(help)
}

/// Makes the default policy file unless it is there; nothing rewrites it later.
pub(crate) fn ensure_default(paths: &Paths) -> Result<(), Failure> {
    let text = docker_default().to_string();
    state::create_once(&paths.default_policy(), text.as_bytes())
}

/// Makes `edits` to the policy of `sandbox`, all or none. Two that edit at once take turns.
pub(crate) fn edit(
    sandbox: &Sandbox,
    from: &Path,
    edits: Vec<Edit>,
) -> Result<PolicyFile, Failure> {
    let _turn = state::lock_exclusive(&sandbox.dir.join("policy.lock"))?;
    let mut document = PolicyFile::read(from)?.document;
    for edit in edits {
        document.apply(edit);
    }
    state::replace(&sandbox.config(), document.to_string().as_bytes())?;
    let changed = PolicyFile::read(&sandbox.config())?;
    for warning in &changed.warnings {
        report::say(format_args!("warning: {warning}"));
    }
    Ok(changed)
}
