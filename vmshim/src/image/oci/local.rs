//! Images in a container engine's own store on this machine, fetched with `save`.
//!
//! The engine's command line is used rather than its socket: it knows contexts, rootless sockets and credentials,
//! and Docker's, Podman's and containerd's (`nerdctl`) take the same words.

use std::fs::File;
use std::process::Stdio;

use super::{Error, Reference};
use crate::progress::{Event, Progress};
use crate::tool::{self, Tool};

/// The engines, in the order in which they are asked.
pub(super) const ENGINES: [Tool; 3] = [
    Tool {
        program: "docker",
        package: "docker.io",
    },
    Tool {
        program: "podman",
        package: "podman",
    },
    Tool {
        program: "nerdctl",
        package: "nerdctl",
    },
];

/// An image that an engine has.
pub(super) struct LocalImage<'a> {
    engine: Tool,
    name: &'a str,
    /// What the engine calls its content. Changes whenever the content does.
    pub(super) id: String,
}

/// Asks each engine that is installed for the image, as the person named it.
pub(super) fn find<'a>(engines: &[Tool], name: &'a str) -> Result<LocalImage<'a>, Error> {
    // Checked for its form only: engines complete short names in ways of their own.
    let _: Reference = name.parse()?;
    let installed: Vec<Tool> = engines
        .iter()
        .copied()
        .filter(|engine| tool::installed(engine.program))
        .collect();
    if installed.is_empty() {
        return Err(Error::NoEngine);
    }
    let mut said = None;
    for engine in installed {
        let mut command = engine.command();
        command.args(["image", "inspect", "--format", "{{.Id}}", name]);
        match engine.output(&mut command) {
            Ok(id) => {
                let id = id.trim().to_owned();
                return Ok(LocalImage { engine, name, id });
            }
            Err(error) => said = Some(said.unwrap_or(error)),
        }
    }
    Err(Error::NotInEngine {
        name: name.to_owned(),
        source: said,
    })
}

impl LocalImage<'_> {
    /// Writes the image to `file` as an archive.
    pub(super) fn save(&self, file: File, progress: &dyn Progress) -> Result<(), Error> {
        let engine = self.engine;
        let phase = format!("taking the image from {}", engine.program);
        progress.event(Event::Phase(&phase));
        let mut command = engine.command();
        command
            .args(["image", "save", self.name])
            .stdout(Stdio::from(file));
        engine.output(&mut command)?;
        Ok(())
    }
}
