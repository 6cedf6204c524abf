//! The published JSON Schema, held against the reader by an independent validator.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod generate;

use fastrand::Rng;
use generate::random_text;
use policy_lang::{
    config::{Document, docker_default, schema},
    language::File,
};
use serde_json::Value;

const COMMITTED: &str = include_str!("../../schema/proxy-config.json");

#[test]
fn the_published_schema_is_the_generated_one() {
    let generated = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    assert_eq!(
        COMMITTED, generated,
        "write it anew: sandbox policy schema > schema/proxy-config.json"
    );
}

#[derive(Debug, PartialEq)]
enum Takes {
    Both,
    /// A pattern cannot tell; the reader can.
    SchemaAlone,
    Neither,
}

fn takes(text: &str) -> Takes {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    match (
        schema.is_valid(&value),
        Document::parse(text, "test").is_ok(),
    ) {
        (true, true) => Takes::Both,
        (true, false) => Takes::SchemaAlone,
        (false, false) => Takes::Neither,
        (false, true) => panic!("the schema refuses what the reader takes: {text}"),
    }
}

#[test]
fn reader_and_schema_agree() {
    use Takes::{Both, Neither, SchemaAlone};
    let files = [
        ("{}", Both),
        ("[]", Neither),
        (
            r#"{"$schema": "schema/proxy-config.json", "dockers": [1]}"#,
            Both,
        ),
        (r#"{"policy": "deny"}"#, Both),
        (r#"{"policy": "block"}"#, Neither),
        (r#"{"policy": true}"#, Neither),
        (r#"{"network": []}"#, Neither),
        (r#"{"network": {"other": 1}}"#, Both),
        (r#"{"include": ["a.policy"]}"#, Both),
        (r#"{"include": [""]}"#, Neither),
        (r#"{"include": ["a\nb"]}"#, Neither),
        (r#"{"include": "a"}"#, Neither),
        (
            r#"{"expect": [{"verdict": "deny", "url": "https://a.test/x?y#z"}]}"#,
            Both,
        ),
        (
            r#"{"expect": [{"verdict": "deny", "method": "get", "url": "https://a.test/"}]}"#,
            Neither,
        ),
        (
            r#"{"expect": [{"verdict": "block", "url": "https://a.test/"}]}"#,
            Neither,
        ),
        (r#"{"expect": [{"verdict": "deny"}]}"#, Neither),
        (
            r#"{"expect": [{"verdict": "deny", "url": "ftp://a.test/"}]}"#,
            Neither,
        ),
        (
            r#"{"expect": [{"verdict": "deny", "url": "https://a..test/"}]}"#,
            SchemaAlone,
        ),
        (
            r#"{"comments": [{"text": "x"}, {"before": "allow a", "text": "x"}]}"#,
            Both,
        ),
        (
            r#"{"comments": [{"before": "a", "after": "a", "text": "x"}]}"#,
            Neither,
        ),
    ];
    let network = [
        (
            r#""allowedDomains": ["a.test", "*.a.test:443", "*", "*:80", "1.2.3.4:80", "[::1]:443", "b\u00fccher.test", "a.test:80-90", "$ai", "a.test."]"#,
            Both,
        ),
        (r#""allowedDomains": ["https://a.test"]"#, Neither),
        (r#""allowedDomains": ["a*.test"]"#, Neither),
        (r#""allowedDomains": ["a b"]"#, Neither),
        (r#""allowedDomains": ["a.test:0"]"#, Neither),
        (r#""allowedDomains": ["a.test:70000"]"#, SchemaAlone),
        (r#""allowedDomains": ["127.1"]"#, SchemaAlone),
        (r#""allowedDomains": ["$a b"]"#, Neither),
        (r#""allowedDomains": [7]"#, Neither),
        (r#""blockCIDR": ["10.0.0.0/8", "::1/128", "1.2.3.4"]"#, Both),
        (r#""blockCIDR": ["10.0.0.0/40"]"#, SchemaAlone),
        (r#""blockCIDR": ["a.test"]"#, Neither),
        (r#""defaultNet": "private""#, Both),
        (r#""defaultNet": "closed""#, Neither),
        (r#""sets": {"ai": ["a.test"]}"#, Both),
        (r#""sets": {"a i": []}"#, Neither),
        (r#""sets": {"ai": "a.test"}"#, Neither),
        (
            r#""requests": [{"action": "allow", "host": "$ai", "methods": ["GET"]}]"#,
            Both,
        ),
        (
            r#""requests": [{"action": "block", "host": "a.test", "path": "/a/*/b%2Fc/**"}]"#,
            Both,
        ),
        (
            r#""requests": [{"action": "block", "host": "a.test"}]"#,
            Neither,
        ),
        (
            r#""requests": [{"action": "block", "host": "a.test", "methods": []}]"#,
            Neither,
        ),
        (
            r#""requests": [{"action": "bypass", "host": "a.test", "path": "/"}]"#,
            Neither,
        ),
        (
            r#""requests": [{"action": "block", "host": "a.test", "path": "x"}]"#,
            Neither,
        ),
        (
            r#""requests": [{"action": "block", "host": "a.test", "path": "/a/../b"}]"#,
            SchemaAlone,
        ),
        (
            r#""requests": [{"action": "block", "host": "a.test", "path": "/", "x": 1}]"#,
            Neither,
        ),
        (r#""lists": [{"action": "bypass", "file": "l"}]"#, Both),
        (r#""lists": [{"file": "l"}]"#, Neither),
        (
            r#""limits": [{"host": "a.test", "rate": "20/s burst 1"}]"#,
            Both,
        ),
        (
            r#""budgets": [{"host": "a.test", "budget": "5KiB/d up"}, {"host": "*.a.test", "budget": "5 names/m"}]"#,
            Both,
        ),
        (
            r#""budgets": [{"host": "a.test", "budget": "5 names"}]"#,
            Neither,
        ),
        (
            r#""credentials": [{"host": "a.test", "query": "k", "from": {"oauth": "A"}, "budget": "1B/s", "limit": "1/s", "path": "/**"}]"#,
            Both,
        ),
        (
            r#""credentials": [{"host": "a.test", "query": "k", "form": "k", "from": {"oauth": "A"}}]"#,
            Neither,
        ),
        (
            r#""credentials": [{"host": "a.test", "from": {"oauth": "A"}}]"#,
            Neither,
        ),
        (r#""limits": [{"host": "$ai", "rate": "20/s"}]"#, Neither),
        (
            r#""limits": [{"host": "a.test", "rate": "020/s"}]"#,
            Neither,
        ),
        (r#""limits": [{"host": "a.test", "rate": "20/w"}]"#, Neither),
        (
            r#""credentials": [{"host": "a.test", "header": "x-k", "from": {"env": "A"}, "as": "B %s"}]"#,
            Both,
        ),
        (
            r#""credentials": [{"host": "a.test", "header": "x-k", "from": {}}]"#,
            Neither,
        ),
        (
            r#""credentials": [{"host": "a.test", "header": "x-k", "from": {"env": "A", "file": "b"}}]"#,
            Neither,
        ),
        (
            r#""credentials": [{"host": "a.test", "header": "x k", "from": {"env": "A"}}]"#,
            Neither,
        ),
        (
            r#""credentials": [{"host": "a.test", "header": "host", "from": {"env": "A"}}]"#,
            SchemaAlone,
        ),
        (
            r#""credentials": [{"host": "a.test", "header": "x-k", "from": {"env": "A B"}}]"#,
            Neither,
        ),
        (
            r#""credentials": [{"host": "a.test", "header": "x-k", "from": {"env": "A"}, "as": "B"}]"#,
            Neither,
        ),
        (
            r#""credentials": [{"host": "a.test", "header": "x-k", "from": "env"}]"#,
            Neither,
        ),
    ];
    let network = network.map(|(keys, takes)| (format!(r#"{{"network": {{{keys}}}}}"#), takes));
    let files = files.map(|(text, takes)| (text.to_owned(), takes));
    for (text, expected) in files.into_iter().chain(network) {
        assert_eq!(takes(&text), expected, "{text}");
    }
}

#[test]
fn the_schema_takes_what_we_write() {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let mut rng = Rng::with_seed(31);
    let made = (0..500).filter_map(|_| {
        let file = File::parse(&random_text(&mut rng), "test").unwrap();
        Document::from_file(&file).ok()
    });
    let mut count = 0;
    for document in made.chain([docker_default()]) {
        count += 1;
        let value: Value = serde_json::from_str(&document.to_string()).unwrap();
        let errors: Vec<_> = schema.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{document}\n{errors:#?}");
    }
    assert!(count > 300, "only {count}");
}
