//! Sandboxes of Docker's older, container generation: they are ordinary containers with a label, and one volume
//! of credentials. Docker's own client is asked, so contexts and rootless daemons are found as usual.

use std::io;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::report::Failure;

/// The volume of credentials that all of them share.
pub(crate) const VOLUME: &str = "docker-claude-sandbox-data";

const LABEL: &str = "label=docker/sandbox=true";

/// What a daemon has of that generation.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) containers: Vec<Container>,
    /// Whether [`VOLUME`] is there.
    pub(crate) volume: bool,
}

/// A sandbox that is a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) agent: String,
    /// Its folder on the host.
    pub(crate) workspace: Option<String>,
    pub(crate) image: String,
    pub(crate) status: String,
}

/// What `docker inspect` says of a container, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    state: State,
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    #[serde(default)]
    labels: Map<String, Value>,
}

impl From<Inspected> for Container {
    fn from(inspected: Inspected) -> Self {
        let label = |name: &str| {
            let value = inspected.config.labels.get(name);
            value.and_then(Value::as_str).map(str::to_owned)
        };
        Self {
            agent: label("com.docker.sandbox.agent").unwrap_or_else(|| "claude".to_owned()),
            workspace: label("com.docker.sandbox.workingDirectory"),
            id: inspected.id.chars().take(12).collect(),
            name: inspected.name.trim_start_matches('/').to_owned(),
            image: inspected.config.image,
            status: inspected.state.status,
        }
    }
}

impl Found {
    /// Asks the daemon.
    pub(crate) fn look() -> Result<Self, Failure> {
        let ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", LABEL])?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        let containers = if ids.is_empty() {
            Vec::new()
        } else {
            let json = docker(&[&["container", "inspect"], ids.as_slice()].concat())?;
            let all: Vec<Inspected> = serde_json::from_str(&json).map_err(|error| {
                Failure::doing("cannot read what `docker inspect` says", &error)
            })?;
            all.into_iter().map(Container::from).collect()
        };
        let volumes = docker(&[
            "volume",
            "ls",
            "--quiet",
            "--filter",
            &format!("name={VOLUME}"),
        ])?;
        Ok(Self {
            containers,
            volume: volumes.lines().any(|name| name == VOLUME),
        })
    }

    /// The container called `name`, or whose id begins so.
    pub(crate) fn find(&self, name: &str) -> Result<&Container, Failure> {
        let is_meant = |container: &&Container| {
            container.name == name
                || (name.len() >= 4 && name.starts_with(&container.id))
                || (name.len() >= 4 && container.id.starts_with(name))
        };
        self.containers.iter().find(is_meant).ok_or_else(|| {
            Failure::new(format!("there is no sandbox container `{name}`"))
                .help("list them with `sandbox legacy ls`")
        })
    }
}

/// Runs `docker ARGS…` and returns what it prints.
pub(crate) fn docker(args: &[&str]) -> Result<String, Failure> {
    let output = Command::new("docker")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::new("`docker` is not installed, so nothing of it is here")
            }
            _ => Failure::doing("cannot run `docker`", &error),
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next_back().unwrap_or("it does not say why");
    Err(Failure::new(format!("docker says: {said}"))
        .help("start the Docker daemon that has the older sandboxes, and try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_is_understood() {
        let json = r#"[{
            "Id": "0123456789abcdef0123", "Name": "/claude-sandbox-1", "State": {"Status": "exited"},
            "Config": {"Image": "docker/sandbox-templates:claude-code", "Labels": {
                "docker/sandbox": "true", "com.docker.sandbox.agent": "gemini",
                "com.docker.sandbox.workingDirectory": "/home/me/project"}}
        }, {
            "Id": "fedcba98765432100123", "Name": "/odd", "State": {"Status": "running"},
            "Config": {"Image": "x", "Labels": {}}
        }]"#;
        let all: Vec<Inspected> = serde_json::from_str(json).unwrap();
        let found = Found {
            containers: all.into_iter().map(Container::from).collect(),
            volume: false,
        };
        let first = found.find("claude-sandbox-1").unwrap();
        assert_eq!(
            (first.id.as_str(), first.agent.as_str()),
            ("0123456789ab", "gemini")
        );
        assert_eq!(first.workspace.as_deref(), Some("/home/me/project"));
        assert_eq!(found.find("fedc").unwrap().agent, "claude");
        assert_eq!(
            found.find("0123456789abcdef0123").unwrap().name,
            "claude-sandbox-1"
        );
        for none in ["", "f", "nosuch"] {
            assert!(found.find(none).is_err(), "{none:?}");
        }
    }
}
