//! The policy language: what it means, how it is written, and what is said about slips.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../generate/mod.rs"]
mod generate;
mod lists;
mod meaning;
mod printing;
mod remarks;
mod slips;

use policy_lang::{
    Policy, Target, Warning,
    language::{File, FileKind, Source},
};
use std::collections::HashMap;

/// DESIGN §6, as it stands there.
const SAMPLE: &str = r#"# team.policy
default deny
set ai = { api.anthropic.com:443, api.openai.com:443 }
allow $ai
allow *.example.org
block evil.example.org
block net 169.254.0.0/16
allow net 10.1.2.0/24                     # lifts a block for these addresses
bypass pinned.example.com
block list "hosts.txt"                    # hosts or one-domain-per-line files, a million lines and more
allow api.github.com:443 GET,HEAD /repos/myorg/**    # method and path, on intercepted traffic
limit *.example.org 20/s burst 40
inject api.anthropic.com x-api-key from env ANTHROPIC_API_KEY
expect allow GET https://api.github.com/repos/myorg/x   # a test, run by `sandbox policy test`
expect deny https://evil.example.org/
"#;

fn files(named: &[(&str, &str)]) -> impl FnMut(FileKind, &str, &str) -> Result<Source, String> {
    let files: HashMap<String, String> = named
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    move |_, name, _| match files.get(name) {
        Some(text) => Ok(Source {
            name: name.into(),
            text: text.clone(),
        }),
        None => Err("no such file".into()),
    }
}

fn parse(text: &str) -> File {
    File::parse(text, "test").unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn compile(text: &str, named: &[(&str, &str)]) -> (Policy, Vec<Warning>) {
    parse(text)
        .compile(&mut files(named))
        .unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn target(text: &str) -> Target {
    Target::parse(text, None).unwrap()
}
