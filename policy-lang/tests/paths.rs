//! Rules about paths hold whatever a server takes a path for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "reference/servers.rs"]
mod servers;

use fastrand::Rng;
use policy_lang::{
    Policy, Target,
    language::{File, no_files},
};

const SEGMENTS: [&str; 22] = [
    "in", "in", "in", "x", "%69n", "", "", ".", "..", "..", "%2e%2E", ".%2e", "%2e", "in;v",
    "in%2Fx", "x%2fin", ";in", "..;v", "..%2fin", "in;v%2Fx", "%2Fin", "x;v/in",
];

fn compile(text: &str) -> Policy {
    let file = File::parse(text, "test").unwrap();
    file.compile(&mut no_files).unwrap().0
}

#[test]
fn no_server_is_asked_for_what_no_rule_allows() {
    let target = Target::parse("a.test:80", None).unwrap();
    let within = compile("default deny\nallow a.test GET /in/**");
    let without = compile("default deny\nallow a.test\nblock a.test GET /in/**");
    let mut rng = Rng::with_seed(44);
    let mut allowed = [0, 0];
    for _ in 0..200_000 {
        let segments = (0..rng.usize(1..7)).map(|_| *rng.choice(&SEGMENTS).unwrap());
        let path = format!("/{}", segments.collect::<Vec<_>>().join("/"));
        let below = |path: &String| path.starts_with("/in/");
        if within
            .admit_request(&target, "GET", &path)
            .action
            .is_allow()
        {
            allowed[0] += 1;
            let served = servers::served(&path);
            assert!(served.iter().all(below), "{path}: {served:?}");
        }
        if without
            .admit_request(&target, "GET", &path)
            .action
            .is_allow()
        {
            allowed[1] += 1;
            let served = servers::served(&path);
            assert!(!served.iter().any(below), "{path}: {served:?}");
        }
    }
    assert!(allowed.iter().all(|count| *count > 5_000), "{allowed:?}");
}
