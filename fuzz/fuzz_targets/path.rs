//! Request paths: the canonical form is its own canonical form, and no server takes a path that rules let pass for one
//! that they do not.
#![no_main]

#[path = "../../policy-lang/tests/reference/servers.rs"]
mod servers;

use libfuzzer_sys::fuzz_target;
use policy_lang::{
    PathPattern, Policy, RequestPath, Target,
    language::{File, no_files},
};
use std::sync::LazyLock;

static WITHIN: LazyLock<Policy> = LazyLock::new(|| policy("allow a.test GET /in/**"));
static WITHOUT: LazyLock<Policy> =
    LazyLock::new(|| policy("allow a.test\nblock a.test GET /in/**"));
static TARGET: LazyLock<Target> =
    LazyLock::new(|| Target::parse("a.test:80", None).expect("a fixed target"));

fn policy(text: &str) -> Policy {
    let file = File::parse(text, "fuzz").expect("a fixed policy");
    file.compile(&mut no_files).expect("a fixed policy").0
}

fn passes(policy: &Policy, path: &str) -> bool {
    let verdict = policy.admit_request(&TARGET, "GET", path);
    verdict.action.is_allow()
}

fuzz_target!(|text: &str| {
    if let Ok(path) = RequestPath::parse(text) {
        let canonical = path.as_str();
        let again = RequestPath::parse(canonical).expect("the canonical form is a path");
        assert_eq!(again.as_str(), canonical);
        assert!(canonical.starts_with('/') && canonical.is_ascii());
        assert!(!canonical.contains("//") && !canonical.contains(['?', '#', '\\']));
        assert!(
            !canonical
                .split('/')
                .any(|segment| segment == "." || segment == "..")
        );
    }
    let below = |path: &String| path.starts_with("/in/");
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let path = text.get(..end).unwrap_or(text);
    if passes(&WITHIN, text) {
        assert!(servers::served(path).iter().all(below), "{path}");
    }
    if passes(&WITHOUT, text) {
        assert!(!servers::served(path).iter().any(below), "{path}");
    }
    if let Ok(pattern) = PathPattern::parse(text) {
        assert_eq!(PathPattern::parse(&pattern.to_string()), Ok(pattern));
    }
});
