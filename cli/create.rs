//! Making a sandbox: everything is checked first, then it appears as a whole.

use std::path::Path;

use crate::agent::Agent;
use crate::args::SandboxOptions;
use crate::git::Identity;
use crate::lifecycle;
use crate::name::SandboxName;
use crate::policy_file;
use crate::progress::Progress;
use crate::report::{self, Failure, USAGE};
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::state::{self, Paths, RECORD_VERSION, Record, Sandbox};
use crate::template::Template;
use crate::volume::Volume;
use crate::warnings;
use crate::workspace::{Workspace, WorkspaceArg};

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
        let folders = self.workspaces.iter().map(WorkspaceArg::resolve);
        let mut folders = folders.collect::<Result<Vec<_>, _>>()?;
        if folders.is_empty() {
            folders.push(WorkspaceArg::current().resolve()?);
        }
        if let Some(primary) = folders.first_mut() {
            primary.read_only |= self.options.read_only;
        }
        Ok(folders)
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
    wanted: &Wanted,
    progress: &Progress,
) -> Result<Sandbox, Failure> {
    let folders = wanted.folders()?;
    let name = wanted.name(&folders)?;
    if let Some(existing) = paths.find(&name)? {
        return Err(taken(&existing));
    }
    let settings = Settings::of(&wanted.options)?;
    if let Some(path) = shared_twice(&folders, &settings.volumes) {
        return Err(Failure::new(format!(
            "`{}` of the sandbox would be two folders",
            path.display()
        ))
        .help("share one of them at another path with `-v HOST:INSIDE`")
        .code(USAGE));
    }
    warnings::workspaces(&folders);
    policy_file::ensure_default(paths)?;
    // Refuse a broken default policy now, not at the first start.
    let policy = policy_file::default(paths)?;
    let template = Template::choose(wanted.agent.template, &wanted.options.template)?;
    let made = lifecycle::prepare(paths, &template, settings.isolation, progress)?;
    let record = Record {
        version: RECORD_VERSION,
        id: new_id()?,
        name,
        agent: wanted.agent.name.to_owned(),
        workspaces: folders,
        template: template.name(),
        image: made.root,
        image_env: made.env,
        created_at: jiff::Timestamp::now().to_string(),
        git: Identity::of_user(),
        settings,
    };
    let folders = record.writable_folders();
    paths.install(record, |dir| {
        remember_folders(&dir.join(state::SNAPSHOT), &folders)?;
        let config = dir.join("proxy-config.json");
        state::replace(&config, policy.document.to_string().as_bytes())?;
        proxy::ca::ensure(&dir.join("proxy_cacerts"))
            .map(|_| ())
            .map_err(|error| Failure::of(&error))
    })
}

/// A path inside that two folders are to be at: one of them would be out of sight.
fn shared_twice<'a>(folders: &'a [Workspace], volumes: &'a [Volume]) -> Option<&'a Path> {
    let folders = folders.iter().map(|folder| folder.path.as_path());
    let inside: Vec<&Path> = folders
        .chain(volumes.iter().map(|volume| volume.guest.as_path()))
        .collect();
    let repeated = inside.iter().enumerate();
    let mut repeated = repeated.filter(|(at, path)| inside.iter().take(*at).any(|p| p == *path));
    repeated.next().map(|(_, path)| *path)
}

/// For `sandbox diff`. A folder too large for it can be shared all the same.
fn remember_folders(file: &Path, folders: &[std::path::PathBuf]) -> Result<(), Failure> {
    match Snapshot::take(folders) {
        Ok(snapshot) => state::replace(file, &snapshot.to_bytes()),
        Err(error) => {
            report::say(format_args!("note: `sandbox diff` will not work: {error}"));
            Ok(())
        }
    }
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

/// Twelve hexadecimal digits.
fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::doing("cannot get random bytes", &error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
