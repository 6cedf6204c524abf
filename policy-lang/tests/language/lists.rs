//! What list files decide.

use crate::{compile, target};

/// The rule that decides about `asked`, or nothing where the default does.
fn rule(policy: &policy_lang::Policy, asked: &str) -> String {
    let reason = policy.admit_host(&target(asked)).reason;
    let rule = reason.rule().and_then(|rule| policy.rule_at(rule));
    rule.map(|rule| rule.to_string()).unwrap_or_default()
}

#[test]
fn names_are_listed_by_themselves_however_many_labels_they_have() {
    let files = [
        ("l", "one.test\ndeep.er.b.c.test\nlan\n"),
        ("m", "two.test\n.two.test\nx.one.test\n"),
    ];
    let rules = "default allow\nblock list \"l\"\nblock list \"m\"";
    let (policy, _) = compile(rules, &files);
    let rows = [
        ("test:1", ""),
        ("one.test:1", "block one.test (l:1:1)"),
        ("x.one.test:1", "block x.one.test (m:3:1)"),
        ("y.one.test:1", ""),
        ("deep.er.b.c.test:1", "block deep.er.b.c.test (l:2:1)"),
        ("er.b.c.test:1", ""),
        ("b.c.test:1", ""),
        ("x.deep.er.b.c.test:1", ""),
        ("lan:1", "block lan (l:3:1)"),
        ("x.lan:1", ""),
        ("two.test:1", "block two.test (m:1:1)"),
        ("x.y.two.test:1", "block *.two.test (m:2:1)"),
    ];
    for (asked, expected) in rows {
        assert_eq!(rule(&policy, asked), expected, "{asked}");
    }
    // Where nothing has more labels than one.
    let (policy, _) = compile("default allow\nblock list \"l\"", &[("l", "lan\n")]);
    assert_eq!(rule(&policy, "lan:1"), "block lan (l:1:1)");
}

#[test]
fn every_name_of_long_lists_is_found_where_it_stands() {
    let list = |name: &str| -> String { (0..4_000).map(|n| format!("{name}{n}.test\n")).collect() };
    let (l, m) = (list("l"), list("m"));
    let rules = "default allow\nblock list \"l\"\nblock list \"m\"";
    let (policy, _) = compile(rules, &[("l", &l), ("m", &m)]);
    assert_eq!(policy.listed_names(), 8_000);
    for n in 0..4_000 {
        for name in ["l", "m"] {
            let expected = format!("block {name}{n}.test ({name}:{}:1)", n + 1);
            assert_eq!(rule(&policy, &format!("{name}{n}.test:1")), expected);
        }
    }
}
