//! SPECIFICATION.md names a test for each promise; each must exist.

use std::fs;
use std::path::Path;

#[test]
fn every_promise_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SPECIFICATION.md")).unwrap();
    let promises: Vec<(&str, &str)> = text
        .split('`')
        .filter_map(|quoted| quoted.split_once(".rs::"))
        .collect();
    assert!(promises.len() > 30, "only {} promises", promises.len());
    for (file, test) in promises {
        let path = root.join(format!("{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_default();
        let found = source.contains(&format!("fn {test}("));
        assert!(found, "{file}.rs has no test `{test}`");
    }
}
