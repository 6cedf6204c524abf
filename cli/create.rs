//! Making a sandbox: everything is checked first, then it appears as a whole.

use std::path::Path;

use crate::agent::Agent;
use crate::args::SandboxOptions;
use crate::lifecycle;
use crate::name::SandboxName;
use crate::policy_file;
use crate::progress::Progress;
use crate::report::{Failure, USAGE};
use crate::state::{self, Paths, RECORD_VERSION, Record, Sandbox, Workspace};
use crate::template::Template;
use crate::workspace::WorkspaceArg;

/// Enough for a package manager and a test suite; more with `--memory`.
const MEMORY_MIB: u32 = 2048;
/// Sparse: takes from the host's disk what is written.
const DISK_GIB: u32 = 20;

/// What the caller asked for.
pub(crate) struct Wanted {
    pub(crate) agent: &'static Agent,
    /// None given means the current folder.
    pub(crate) workspaces: Vec<WorkspaceArg>,
    pub(crate) options: SandboxOptions,
}

impl Wanted {
    /// The folders, found; the first is the primary one.
    pub(crate) fn folders(&self) -> Result<Vec<Workspace>, Failure> {
        if self.workspaces.is_empty() {
            return Ok(vec![WorkspaceArg::current().resolve()?]);
        }
        let folders = self.workspaces.iter().map(WorkspaceArg::resolve);
        folders.collect()
    }

    /// The name that was given, or the one that agent and primary folder make.
    pub(crate) fn name(&self, folders: &[Workspace]) -> Result<SandboxName, Failure> {
        let Some(name) = &self.options.name else {
            let primary = folders.first().map_or(Path::new("/"), |w| &w.path);
            return SandboxName::derive(self.agent.name, primary)
                .map_err(|error| Failure::of(&error).help("give one with --name"));
        };
        if Agent::is_reserved(name.as_str()) {
            return Err(Failure::new(format!("`{name}` is an agent's name"))
                .help("choose another name with --name")
                .code(USAGE));
        }
        Ok(name.clone())
    }
}

/// Makes the sandbox, stopped. Nothing is left behind where it fails.
pub(crate) fn create(
    paths: &Paths,
    wanted: Wanted,
    progress: &Progress,
) -> Result<Sandbox, Failure> {
    let folders = wanted.folders()?;
    let name = wanted.name(&folders)?;
    if let Some(existing) = paths.find(&name)? {
        return Err(taken(&existing));
    }
    policy_file::ensure_default(paths)?;
    // Refuse a broken default policy now, not at the first start.
    let policy = policy_file::read(&paths.default_policy())?;
    let template = Template::choose(wanted.agent.template, &wanted.options.template)?;
    let image = lifecycle::prepare(paths, &template, progress)?;
    let record = Record {
        version: RECORD_VERSION,
        id: new_id()?,
        name,
        agent: wanted.agent.name.to_owned(),
        workspaces: folders,
        template: template.name(),
        image,
        created_at: jiff::Timestamp::now().to_string(),
        cpus: wanted.options.cpus.unwrap_or_else(default_cpus),
        memory_mib: wanted.options.memory.unwrap_or(MEMORY_MIB),
        disk_gib: DISK_GIB,
    };
    paths.install(record, |dir| {
        let config = dir.join("proxy-config.json");
        state::replace(&config, policy.document.to_string().as_bytes())?;
        proxy::ca::ensure(&dir.join("proxy_cacerts"))
            .map(|_| ())
            .map_err(|error| Failure::of(&error))
    })
}

fn taken(existing: &Sandbox) -> Failure {
    let name = &existing.record.name;
    let folder = existing.primary_workspace().unwrap_or(Path::new("?"));
    Failure::new(format!(
        "there is a sandbox `{name}` already, for `{}`",
        folder.display()
    ))
    .help(format!(
        "go back into it with `sandbox run {name}`, or choose another name with --name"
    ))
}

/// All of the machine's processors but one, at most four: an agent's tools rarely use more.
fn default_cpus() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(4).clamp(1, 4)
}

/// Twelve hexadecimal digits.
fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::doing("cannot get random bytes", &error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
