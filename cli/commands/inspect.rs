//! `sandbox inspect`

use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Map, Value, json};
use vmshim::spec::{Isolation, Publish};

use crate::agent::Agent;
use crate::args::NamesArgs;
use crate::report::{self, Failure, Outcome};
use crate::settings::Credentials;
use crate::state::{Paths, Sandbox};
use crate::volume::Volume;
use crate::workspace::Workspace;

/// Docker's keys first (`id` to `labels`), then ours.
#[derive(Serialize)]
struct Description<'a> {
    id: &'a str,
    name: &'a str,
    created_at: &'a str,
    status: &'static str,
    template: &'a str,
    labels: Map<String, Value>,
    agent: &'a str,
    isolation: Isolation,
    workspaces: &'a [Workspace],
    cpus: u32,
    memory_mib: u32,
    disk_gib: u32,
    volumes: &'a [Volume],
    hide: &'a [String],
    env: Vec<String>,
    credentials: Credentials,
    docker_socket: bool,
    /// Services whose credentials the proxy may put into the agent's requests.
    services: &'a [&'a str],
    publish: &'a [Publish],
    files: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Value>,
}

pub(super) fn run(args: &NamesArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let sandboxes = args
        .names
        .iter()
        .map(|name| paths.open(name))
        .collect::<Result<Vec<_>, _>>()?;
    let described = sandboxes
        .iter()
        .map(|sandbox| describe(&paths, sandbox))
        .collect::<Result<Vec<_>, _>>()?;
    report::print_json(&described)?;
    Ok(ExitCode::SUCCESS)
}

fn describe<'a>(paths: &Paths, sandbox: &'a Sandbox) -> Result<Description<'a>, Failure> {
    let record = &sandbox.record;
    let settings = &record.settings;
    let env = settings.env.iter();
    let running = sandbox.is_running();
    let live = running.then(|| crate::lifecycle::live_state(paths, sandbox));
    let (vm, policy) = live.map_or((None, None), |live| (live.vm, live.policy));
    Ok(Description {
        id: &record.id,
        name: record.name.as_str(),
        created_at: &record.created_at,
        status: if running { "running" } else { "stopped" },
        template: &record.template,
        labels: labels(sandbox),
        agent: &record.agent,
        isolation: settings.isolation,
        workspaces: &record.workspaces,
        cpus: settings.cpus,
        memory_mib: settings.memory_mib,
        disk_gib: settings.disk_gib,
        volumes: &settings.volumes,
        hide: &settings.hide,
        env: env.map(|(key, value)| format!("{key}={value}")).collect(),
        credentials: settings.credentials,
        docker_socket: settings.docker_socket,
        services: match settings.credentials {
            Credentials::None => &[],
            _ => Agent::find(&record.agent).map_or(&[], |agent| agent.services),
        },
        publish: &settings.publish,
        files: json!({
            "policy": sandbox.config(),
            "ca": sandbox.ca_dir().join("proxy-ca.crt"),
            "network_log": sandbox.network_log(),
            "console_log": sandbox.dir.join("console.log"),
        }),
        vm,
        policy,
    })
}

/// The labels that Docker's product puts on a sandbox, for tools that look for them.
fn labels(sandbox: &Sandbox) -> Map<String, Value> {
    let workspace = sandbox.primary_workspace().map(|path| json!(path));
    let mut labels = Map::new();
    labels.insert("docker/sandbox".into(), json!("true"));
    labels.insert(
        "com.docker.sandbox.agent".into(),
        json!(sandbox.record.agent),
    );
    labels.insert(
        "com.docker.sandbox.workingDirectory".into(),
        workspace.unwrap_or(Value::Null),
    );
    labels
}
