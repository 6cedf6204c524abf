//! Who depends on whom. The arrows are the architecture; a new one is a decision, not an accident.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every arrow between our own packages, as ARCHITECTURE.md draws them.
const ARROWS: [(&str, &[&str]); 6] = [
    ("sandbox", &["policy-lang", "proxy", "vmshim", "wire"]),
    ("proxy", &["policy-lang"]),
    ("policy-lang", &[]),
    ("vmshim", &["wire"]),
    ("guest", &["wire"]),
    ("wire", &[]),
];

fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let normal = |dependency: &&serde_json::Value| dependency["kind"].is_null();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let used: BTreeSet<String> = dependencies
                .iter()
                .filter(normal)
                .map(name)
                .filter(|used| ours.contains(used))
                .collect();
            (name(package), used)
        })
        .collect()
}

#[test]
fn edges_between_our_packages_are_those_that_are_drawn() {
    let drawn: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(from, to)| {
            let to = to.iter().map(|name| (*name).to_owned()).collect();
            ((*from).to_owned(), to)
        })
        .collect();
    assert_eq!(arrows(), drawn);
}
