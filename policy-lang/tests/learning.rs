//! `policy learn` and `policy replay`: what was used is admitted, and nobody's suffix.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use fastrand::Rng;
use policy_lang::{
    Effect, HostScope, LearnOptions, LocalAddrs, Record, Target, is_public_suffix,
    language::{File, no_files},
    learn,
};

/// `METHOD URL [ADDRESS]`, or `CONNECT host:port`; a leading `!` was denied.
fn record(text: &str) -> Record {
    let (text, allowed) = match text.strip_prefix('!') {
        Some(text) => (text, false),
        None => (text, true),
    };
    let mut words = text.split(' ');
    let (method, url) = (words.next().unwrap(), words.next().unwrap());
    let address = words.next().map(|addr| addr.parse().unwrap());
    if method == "CONNECT" {
        return Record {
            target: Target::parse(url, None).unwrap(),
            request: None,
            address,
            allowed,
        };
    }
    let rest = url.split_once("://").unwrap().1;
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    Record {
        target: Target::from_url(url).unwrap(),
        request: Some((method.to_owned(), path.to_owned())),
        address,
        allowed,
    }
}

fn learnt(current: &str, records: &[&str]) -> (String, usize) {
    let records: Vec<_> = records.iter().map(|text| record(text)).collect();
    let current = File::parse(current, "current").unwrap();
    let learnt = learn(&records, &current, &mut no_files, LearnOptions::default());
    (learnt.file.to_string(), learnt.blocked.len())
}

#[test]
fn what_was_used_becomes_the_policy() {
    let rows: &[(&str, &[&str], &str)] = &[
        ("", &[], "default deny\n"),
        (
            "default allow # for now\nblock net 8.0.0.0/8\nexpect deny https://evil.test/\n",
            &[
                "GET https://a.test/x",
                "POST https://a.test/x",
                "!GET https://evil.test/",
            ],
            "default deny # for now\nblock net 8.0.0.0/8\nexpect deny https://evil.test/\nallow a.test:443 GET,POST /x\n",
        ),
        // What the current policy says in the same words stays where it is, with its comment.
        (
            "default deny\nset s = { u.test }\nallow $s\nallow a.test:443 GET /x # needed\nallow unused.test\n",
            &["GET https://a.test/x"],
            "default deny\nallow a.test:443 GET /x # needed\n",
        ),
        (
            "",
            &[
                "CONNECT db.test:5432",
                "GET http://b.test/1/x",
                "GET http://b.test/2/x",
            ],
            "default deny\nallow b.test:80 GET /*/x\nallow db.test:5432\n",
        ),
        // Many names below one that somebody has registered, but never below a public suffix.
        (
            "",
            &[
                "CONNECT a.cdn.test:443",
                "CONNECT b.cdn.test:443",
                "CONNECT c.cdn.test:443",
                "CONNECT d.cdn.test:443",
                "CONNECT e.cdn.test:443",
                "CONNECT a.github.io:443",
                "CONNECT b.github.io:443",
                "CONNECT c.github.io:443",
                "CONNECT d.github.io:443",
                "CONNECT e.github.io:443",
            ],
            "default deny\nallow *.cdn.test:443\nallow a.github.io:443\nallow b.github.io:443\nallow c.github.io:443\nallow d.github.io:443\nallow e.github.io:443\n",
        ),
        // A wildcard would not reach a private address; the exact name does.
        (
            "",
            &[
                "CONNECT a.cdn.test:443",
                "CONNECT b.cdn.test:443",
                "CONNECT c.cdn.test:443",
                "CONNECT d.cdn.test:443",
                "CONNECT e.cdn.test:443 10.0.0.9",
            ],
            "default deny\nallow *.cdn.test:443\nallow e.cdn.test:443\n",
        ),
        // A bypass and a rule about paths may not stand together.
        (
            "default deny\nallow a.test\nbypass a.test\n",
            &["GET https://a.test/x"],
            "default deny\nbypass a.test\nallow a.test:443\n",
        ),
    ];
    for (current, records, expected) in rows {
        let (text, blocked) = learnt(current, records);
        assert_eq!(
            (text.as_str(), blocked),
            (*expected, 0),
            "{current}\n{records:?}"
        );
    }
    let (text, blocked) = learnt(
        "default allow\nblock evil.test\n",
        &["GET https://evil.test/"],
    );
    assert_eq!(
        (text.as_str(), blocked),
        ("default deny\nblock evil.test\n", 1)
    );
}

#[test]
fn every_allowed_record_is_admitted_and_no_suffix_is() {
    let mut rng = Rng::with_seed(61);
    let tops = ["com", "co.uk", "github.io", "internal"];
    let words = [
        "a",
        "b",
        "c",
        "7",
        "x%2Fy",
        "d3b07384d113edec49eaa6238ad5ff00",
        "z",
    ];
    for _ in 0..300 {
        let mut texts = Vec::new();
        for _ in 0..rng.usize(1..60) {
            let labels: Vec<_> = (0..rng.usize(1..4))
                .map(|_| char::from(rng.u8(b'a'..b'h')).to_string())
                .collect();
            let host = format!("{}.{}", labels.join("."), rng.choice(tops).unwrap());
            let port = rng.choice([443, 80, 8443]).unwrap();
            let addr = rng
                .choice(["", "", " 203.0.113.9", " 10.0.0.9", " fd00::9"])
                .unwrap();
            let parts: Vec<_> = (0..rng.usize(..4))
                .map(|_| rng.choice(words).unwrap())
                .collect();
            let method = rng.choice(["GET", "POST", "CONNECT"]).unwrap();
            texts.push(match method {
                "CONNECT" => format!("CONNECT {host}:{port}{addr}"),
                method => format!("{method} https://{host}:{port}/{}{addr}", parts.join("/")),
            });
        }
        let records: Vec<_> = texts.iter().map(|text| record(text)).collect();
        let nothing = File::parse("", "none").unwrap();
        let learnt = learn(&records, &nothing, &mut no_files, LearnOptions::default());
        let (policy, _) = learnt.file.compile(&mut no_files).unwrap();
        for (record, text) in records.iter().zip(&texts) {
            let (action, reason) = policy.replay(record, &LocalAddrs::default());
            let why = policy.describe(reason);
            assert!(action.is_allow(), "{text}: {why}\n{}", learnt.file);
        }
        for rule in policy.rules() {
            if let Effect::Host(_, pattern) = &rule.effect {
                let below = match &pattern.scope {
                    HostScope::Below(name) => name.as_str(),
                    HostScope::Exact(_) => continue,
                    HostScope::Any => "",
                };
                assert!(!below.is_empty() && !is_public_suffix(below), "{rule}");
            }
        }
    }
}

#[test]
fn a_replay_judges_host_request_and_address() {
    let text = "default deny\nallow a.test GET /x\nallow *.b.test\n";
    let (policy, _) = File::parse(text, "test")
        .unwrap()
        .compile(&mut no_files)
        .unwrap();
    let rows = [
        ("GET https://a.test/x", true),
        ("POST https://a.test/x", false),
        ("GET https://a.test/y", false),
        ("CONNECT a.test:443", true),
        ("GET https://x.b.test/ 203.0.113.9", true),
        ("GET https://x.b.test/ 10.0.0.9", false),
        ("GET https://a.test/x 10.0.0.9", true),
        ("CONNECT c.test:443", false),
    ];
    for (text, expected) in rows {
        let (action, _) = policy.replay(&record(text), &LocalAddrs::default());
        assert_eq!(action.is_allow(), expected, "{text}");
    }
}
