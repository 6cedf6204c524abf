//! What `sandbox network proxy`'s flags do to `proxy-config.json`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use policy_lang::{
    Action, HostPattern, Net, Target,
    config::{Applied, Document, Edit, docker_default},
};

fn host(text: &str) -> HostPattern {
    text.parse().unwrap()
}

fn net(text: &str) -> Net {
    Net::parse(text).unwrap()
}

/// Network keys of a file, the edit, and the network keys it must then have.
fn rows() -> Vec<(&'static str, Edit, &'static str)> {
    use Edit::*;
    vec![
        // Adding.
        (
            r#"{}"#,
            AllowHost(host("A.test:443")),
            r#"{"allowedDomains":["a.test:443"]}"#,
        ),
        (
            r#"{"allowedDomains":["a.test"]}"#,
            AllowHost(host("b.test")),
            r#"{"allowedDomains":["a.test","b.test"]}"#,
        ),
        (
            r#"{}"#,
            BlockHost(host("*.a.test")),
            r#"{"blockedDomains":["*.a.test"]}"#,
        ),
        (
            r#"{}"#,
            BypassHost(host("a.test")),
            r#"{"bypassDomains":["a.test"]}"#,
        ),
        // What is there stays as it was written.
        (
            r#"{"allowedDomains":["A.Test."]}"#,
            AllowHost(host("a.test")),
            r#"{"allowedDomains":["A.Test."]}"#,
        ),
        // The latest word wins over the opposite list, and over the same pattern alone.
        (
            r#"{"blockedDomains":["A.test","a.test:443"]}"#,
            AllowHost(host("a.test")),
            r#"{"blockedDomains":["a.test:443"],"allowedDomains":["a.test"]}"#,
        ),
        (
            r#"{"allowedDomains":["a.test"]}"#,
            BlockHost(host("a.test")),
            r#"{"allowedDomains":[],"blockedDomains":["a.test"]}"#,
        ),
        // A bypass opposes nothing.
        (
            r#"{"blockedDomains":["a.test"]}"#,
            BypassHost(host("a.test")),
            r#"{"blockedDomains":["a.test"],"bypassDomains":["a.test"]}"#,
        ),
        // Docker's meaning of --allow-cidr: remove from the block or bypass lists.
        (
            r#"{"blockCIDR":["10.0.0.0/8","fc00::/7"]}"#,
            AllowCidr(net("10.0.0.0/8")),
            r#"{"blockCIDR":["fc00::/7"]}"#,
        ),
        (
            r#"{"blockCIDR":[],"bypassCIDR":["10.0.0.0/8"]}"#,
            AllowCidr(net("10.0.0.0/8")),
            r#"{"blockCIDR":[],"bypassCIDR":[]}"#,
        ),
        // And ours where there is nothing to remove: lift a shorter block.
        (
            r#"{"blockCIDR":["10.0.0.0/8"]}"#,
            AllowCidr(net("10.1.0.0/16")),
            r#"{"blockCIDR":["10.0.0.0/8"],"allowCIDR":["10.1.0.0/16"]}"#,
        ),
        (
            r#"{"blockCIDR":[],"allowCIDR":["10.1.0.0/16"]}"#,
            BlockCidr(net("10.1.2.3/16")),
            r#"{"blockCIDR":["10.1.0.0/16"],"allowCIDR":[]}"#,
        ),
        // A file that does not speak of blocks has the documented ones; a change writes them down.
        (
            r#"{}"#,
            AllowCidr(net("10.0.0.0/8")),
            r#"{"blockCIDR":["127.0.0.0/8","169.254.0.0/16","172.16.0.0/12","192.168.0.0/16","::1/128","fc00::/7","fe80::/10"]}"#,
        ),
        (
            r#"{"blockCIDR":[]}"#,
            BypassCidr(net("203.0.113.0/24")),
            r#"{"blockCIDR":[],"bypassCIDR":["203.0.113.0/24"]}"#,
        ),
        // Removing.
        (
            r#"{"allowedDomains":["a.test","b.test"],"blockedDomains":["A.TEST"],"bypassDomains":["a.test"]}"#,
            RemoveHost(host("a.test")),
            r#"{"allowedDomains":["b.test"],"blockedDomains":[],"bypassDomains":[]}"#,
        ),
        (
            r#"{"blockCIDR":["10.0.0.0/8"],"allowCIDR":["10.0.0.0/8"],"bypassCIDR":["10.0.0.0/8"]}"#,
            RemoveCidr(net("10.0.0.0/8")),
            r#"{"blockCIDR":[],"allowCIDR":[],"bypassCIDR":[]}"#,
        ),
    ]
}

#[test]
fn edits_change_what_they_say() {
    for (before, edit, after) in rows() {
        let text = format!(r#"{{"policy":"deny","network":{before},"ours":{{"kept": 1e400}}}}"#);
        let (mut document, _) = Document::parse(&text, "test").unwrap();
        let applied = document.apply(edit.clone());
        let expected = format!(r#"{{"policy":"deny","network":{after},"ours":{{"kept":1e400}}}}"#);
        assert_eq!(
            squeeze(&document.to_string()),
            expected,
            "{before} after {edit:?}"
        );
        let same = before == after;
        assert_eq!(
            applied == Applied::Unchanged,
            same,
            "{before} after {edit:?}"
        );
    }
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut document = docker_default();
    let before = document.to_string();
    for edit in [
        Edit::RemoveHost(host("a.test")),
        Edit::RemoveCidr(net("11.0.0.0/8")),
        Edit::Policy(Action::Allow),
        Edit::Reset,
    ] {
        assert_eq!(document.apply(edit.clone()), Applied::Unchanged, "{edit:?}");
        assert_eq!(document.to_string(), before, "{edit:?}");
    }
}

#[test]
fn policy_keeps_the_lists_and_reset_keeps_unknown_keys() {
    let text = r#"{"x": [1,  2], "policy": "allow", "network": {"allowedDomains": ["a.test"]}}"#;
    let (mut document, _) = Document::parse(text, "test").unwrap();
    document.apply(Edit::Policy(Action::Deny));
    let expected = r#"{"x":[1,2],"policy":"deny","network":{"allowedDomains":["a.test"]}}"#;
    assert_eq!(squeeze(&document.to_string()), expected);
    document.apply(Edit::Reset);
    let (policy, _) = document.compile().unwrap();
    assert_eq!(
        policy.digest(),
        docker_default().compile().unwrap().0.digest()
    );
    assert!(
        document.to_string().contains("\"x\": [1,  2]"),
        "{document}"
    );
}

#[test]
fn the_default_is_the_documented_one() {
    let document = docker_default();
    let expected = r#"{
  "policy": "allow",
  "network": {
    "allowedDomains": [],
    "blockedDomains": [],
    "bypassDomains": [],
    "allowCIDR": [],
    "blockCIDR": [
      "10.0.0.0/8",
      "127.0.0.0/8",
      "169.254.0.0/16",
      "172.16.0.0/12",
      "192.168.0.0/16",
      "::1/128",
      "fc00::/7",
      "fe80::/10"
    ],
    "bypassCIDR": []
  }
}
"#;
    assert_eq!(document.to_string(), expected);
    let (again, warnings) = Document::parse(expected, "test").unwrap();
    assert_eq!((again.to_string().as_str(), warnings.len()), (expected, 0));
}

#[test]
fn a_rule_is_named_by_where_the_written_file_has_it() {
    let mut document = docker_default();
    document.apply(Edit::BlockHost(host("evil.test")));
    let text = document.to_string();
    let (policy, _) = document.compile().unwrap();
    let target = Target::parse("evil.test:443", None).unwrap();
    let id = policy.admit_host(&target).reason.rule().unwrap();
    let rule = policy.rule(id).unwrap();
    assert_eq!(rule.text.as_ref(), "evil.test");
    let line = 1 + text
        .lines()
        .position(|line| line.contains("evil.test"))
        .unwrap();
    assert_eq!(
        rule.origin.to_string(),
        format!("proxy-config.json:{line}:7")
    );
}

#[test]
fn writing_and_reading_again_is_the_same() {
    for (before, edit, _) in rows() {
        let text = format!(r#"{{"include":["a \"b\".policy"],"network":{before},"é\n":null}}"#);
        let (mut document, _) = Document::parse(&text, "test").unwrap();
        document.apply(edit);
        let written = document.to_string();
        match Document::parse(&written, "test") {
            Ok((again, _)) => assert_eq!(again.to_string(), written),
            Err(errors) => panic!("{written}\n{errors:?}"),
        }
    }
}

#[test]
fn nesting_and_size_are_bounded() {
    let deep = format!(
        "{{\"x\": {}{}}}",
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    let errors = Document::parse(&deep, "test").unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors.first().unwrap().to_string(),
        "test:1:70: values are nested more than 64 deep"
    );
    let brackets_in_text = format!("{{\"policy\": \"deny\", \"x\": \"{}\"}}", "[".repeat(100));
    assert!(Document::parse(&brackets_in_text, "test").is_ok());
}

/// JSON without the space between its tokens.
fn squeeze(text: &str) -> String {
    let mut in_string = false;
    text.chars()
        .filter(|c| {
            in_string ^= *c == '"';
            in_string || !c.is_whitespace()
        })
        .collect()
}
