//! `tests/threats.toml`: every threat to the sandbox has a test, or says why not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn every_row_names_tests_that_exist_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/threats.toml")).unwrap();
    let rows: BTreeMap<String, BTreeMap<String, toml::Value>> = toml::from_str(&text).unwrap();
    let wanted = (10..=18)
        .chain(20..=23)
        .chain(26..=30)
        .map(|number| format!("F{number}"));
    let wanted = wanted.chain((1..=9).map(|number| format!("V{number}")));
    let wanted = wanted.chain((1..=9).map(|number| format!("C{number}")));
    let mut wrong = Vec::new();
    for name in wanted {
        let Some(row) = rows.get(&name) else {
            wrong.push(format!("{name} is not listed"));
            continue;
        };
        println!("{name}: {}", row["what"]);
        let tests = row.get("tests").and_then(toml::Value::as_array);
        let open = row.get("open").and_then(toml::Value::as_str);
        println!("    {tests:?} {open:?}");
        if tests.is_none_or(Vec::is_empty) && open.is_none_or(|why| why.len() < 20) {
            wrong.push(format!("{name} has neither test nor reason"));
        }
        for test in tests.into_iter().flatten() {
            let (file, test) = test.as_str().unwrap().rsplit_once("::").unwrap();
            let source = fs::read_to_string(root.join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {test}(")) {
                wrong.push(format!("{name}: {file} has no test `{test}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
