//! What the guest is given of the host: folders, variables, files.

use std::path::Path;

use proxy::credentials::Handed;
use vmshim::spec::Share;
use wire::message::Seed;

use crate::agent::Agent;
use crate::credentials;
use crate::seeds;
use crate::settings::Credentials;
use crate::state::Record;

/// The home of the guest's user.
const HOME: &str = "/home/agent";

/// The folders, the primary one first. What is hidden is hidden in all of them.
pub(crate) fn shares(record: &Record) -> Vec<Share> {
    let share = |host: &Path, guest: &Path, read_only| Share {
        host: host.to_owned(),
        file: false,
        guest: guest.to_owned(),
        read_only,
        hide: record.settings.hide.clone(),
    };
    let folders = record
        .workspaces
        .iter()
        .map(|folder| share(&folder.path, &folder.path, folder.read_only));
    let volumes = record.settings.volumes.iter();
    let volumes = volumes.map(|volume| {
        let folder = share(&volume.host, &volume.guest, volume.read_only);
        match volume.host.is_file() {
            // Who names a file means it, whatever is hidden elsewhere.
            true => Share {
                file: true,
                hide: Vec::new(),
                ..folder
            },
            false => folder,
        }
    });
    let keys = ssh_keys(record.settings.credentials);
    let keys = keys.map(|dir| share(&dir, &Path::new(HOME).join(".ssh"), true));
    let docker = record.settings.docker_socket.then(docker_socket);
    let docker = docker.map(|socket| Share {
        hide: Vec::new(), // there is nothing in it
        ..share(&socket, Path::new(DOCKER_SOCKET), false)
    });
    folders.chain(volumes).chain(keys).chain(docker).collect()
}

/// Where Docker's daemon listens unless the caller's environment says otherwise.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// The host's. Whether the caller may use it is for the host's permissions to say.
fn docker_socket() -> std::path::PathBuf {
    let named = std::env::var("DOCKER_HOST").unwrap_or_default();
    named
        .strip_prefix("unix://")
        .unwrap_or(DOCKER_SOCKET)
        .into()
}

/// The caller's own folder of SSH keys, where `--credentials host` shares it.
fn ssh_keys(credentials: Credentials) -> Option<std::path::PathBuf> {
    if credentials != Credentials::Host {
        return None;
    }
    let home = std::env::var_os("HOME")?;
    let dir = std::fs::canonicalize(Path::new(&home).join(".ssh")).ok()?;
    dir.is_dir().then_some(dir)
}

/// Variables of every program: the image's, the agent's, placeholders for keys, the caller's. Of two of one name the last holds.
pub(crate) fn env(record: &Record, handed: &Handed) -> Vec<(String, String)> {
    let own = Agent::find(&record.agent).map_or(&[][..], |agent| agent.env);
    let own = own
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let workspace = record.workspaces.first().map(|folder| {
        let path = folder.path.to_string_lossy().into_owned();
        ("WORKSPACE_DIR".to_owned(), path)
    });
    let given = record.settings.env.iter().cloned();
    let image = record.image_env.iter().cloned();
    let placeholders = credentials::placeholders(handed);
    let all = image.chain(own).chain(workspace).chain(placeholders);
    all.chain(given).collect()
}

/// Files for the agent, and the caller's git identity.
pub(crate) fn seeds(record: &Record, handed: &Handed) -> Vec<Seed> {
    let workspace = record
        .workspaces
        .first()
        .map_or(Path::new("/"), |folder| &folder.path);
    let has_key = !credentials::placeholders(handed).is_empty();
    let mut seeds = seeds::of(&record.agent, workspace, has_key);
    seeds.extend(record.git.seed());
    seeds
}
