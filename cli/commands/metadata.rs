//! `docker-sandbox docker-cli-plugin-metadata`: what Docker's client asks every plugin.

use std::process::ExitCode;

use serde::Serialize;

use crate::report::{self, Failure, Outcome};

/// Docker's `metadata.Metadata`, schema 0.1.0.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    schema_version: &'static str,
    vendor: &'static str,
    version: &'static str,
    short_description: &'static str,
}

pub(super) fn run() -> Outcome {
    let metadata = Metadata {
        schema_version: "0.1.0",
        vendor: "sandbox contributors",
        version: concat!("v", env!("CARGO_PKG_VERSION")),
        short_description: "Run AI coding agents in microVMs",
    };
    // One line: old clients read no more.
    let line = serde_json::to_string(&metadata)
        .map_err(|error| Failure::doing("cannot write the metadata", &error))?;
    report::print(line)?;
    Ok(ExitCode::SUCCESS)
}
