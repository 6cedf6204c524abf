//! What is said about a policy that was hardly meant.

use fastrand::Rng;

use crate::{compile, target};

#[test]
fn lints_name_what_was_hardly_meant() {
    let rows: &[(&str, &[&str])] = &[
        (
            "default deny\nallow a.test\nblock b.a.test",
            &["3:1 has no effect: the default says the same"],
        ),
        (
            "default deny\nallow *.a.test\nblock b.a.test\nallow c.b.a.test",
            &[],
        ),
        (
            "default deny\nallow *.b.a.test:443\nallow *.a.test",
            &["2:1 has no effect beside the wider rule `allow *.a.test (test:3:1)`"],
        ),
        ("default deny\nallow *.b.a.test\nallow *.a.test:443", &[]),
        (
            "default deny\nallow *.c.b.a.test\nblock *.b.a.test\nallow *.a.test",
            &[],
        ),
        (
            "default deny\nallow *.c.b.a.test\nblock *.b.a.test:80\nallow *.a.test",
            &[],
        ),
        ("default deny\nallow x.a.test\nallow *.a.test", &[]),
        (
            "default allow\nallow *.a.test\nallow b.test",
            &["2:1 has no effect: the default says the same"],
        ),
        (
            "default allow\nblock a.test\nblock a.test:80",
            &["3:1 has no effect beside the wider rule `block a.test (test:2:1)`"],
        ),
        // A range within another, and one that only overlaps.
        (
            "default allow\nblock *.a.test:1-100\nblock *.b.a.test:5-50",
            &["3:1 has no effect beside the wider rule `block *.a.test:1-100 (test:2:1)`"],
        ),
        (
            "default allow\nblock *.a.test:1-100\nblock *.b.a.test:50-150",
            &[],
        ),
        (
            "default allow\nblock *.a.test:50-150\nblock *.b.a.test:1-100",
            &[],
        ),
        (
            "default allow\nblock *.a.test:1-100\nallow *.b.a.test:50-150\nblock *.c.b.a.test:60",
            &[],
        ),
        (
            "default deny\nallow a.test\nblock A.test",
            &["2:1 `a.test` is both allowed and blocked; the block wins"],
        ),
        (
            "default deny\nallow a.test\nallow a.test.",
            &["3:1 the same stands at test:2:1"],
        ),
        (
            "default deny\nallow *",
            &["2:1 `*` allows every host, so the default deny has little effect"],
        ),
        (
            "default deny\nallow *.com\nallow *.co.uk\nallow *.github.io:443\nallow *.example.com.au",
            &[
                "2:1 `*.com` covers a whole top-level domain",
                "3:1 `*.co.uk` covers everything below the public suffix `co.uk`",
                "4:1 `*.github.io:443` covers everything below the public suffix `github.io`",
            ],
        ),
        (
            "default deny\nallow com\nallow printer\nallow *.printer:80",
            &[
                "2:1 `com` is a top-level domain and covers no name below it",
                "4:1 `*.printer:80` covers a whole top-level domain",
            ],
        ),
        ("default allow\nblock *", &[]),
        (
            "default deny\nallow a.test GET /x\nblock a.test DELETE",
            &[],
        ),
        (
            "default allow\nallow net 10.1.0.0/16\nallow net 8.8.8.0/24",
            &["3:1 lifts no block: no blocked network overlaps it"],
        ),
        (
            "default deny\nallow *.a.test\nbypass b.a.test\nbypass c.test",
            &["4:1 bypasses what no rule allows; a bypass grants nothing"],
        ),
        ("default allow\nbypass c.test", &[]),
        (
            "default allow\nbypass *.co.uk\nblock *.co.uk",
            &["2:1 `*.co.uk` covers everything below the public suffix `co.uk`"],
        ),
        (
            "default deny\nallow a.test\nallow a.test GET /x",
            &["3:1 has no effect beside the wider rule `allow a.test (test:2:1)`"],
        ),
        ("default deny\nallow *.b.test\nallow a.b.test GET /x", &[]),
        (
            "default deny\nblock a.test DELETE",
            &["2:1 has no effect: the default says the same"],
        ),
        ("default deny\nallow a.test GET\nblock a.test /x", &[]),
        (
            "default allow\nblock a.test:80-81\nallow a.test:80\nallow a.test:81",
            &["2:1 never decides: narrower rules for `a.test` cover all its ports"],
        ),
        (
            "default allow\nblock a.test:80-82\nallow a.test:80\nallow a.test:82",
            &[],
        ),
        (
            "default allow\nallow net 127.0.0.0/8\nallow net 169.254.169.254/32\nallow net 169.254.0.0/16",
            &[
                "2:1 network `127.0.0.0/8` is lifted in vain: this machine is reached only by a rule that names host and port",
                "3:1 network `169.254.169.254/32` is lifted in vain: cloud metadata is reached only by a rule that is the address itself",
            ],
        ),
        (
            "default deny\nallow a.test\nallow net 10.0.0.0/8",
            &["3:1 network `10.0.0.0/8` is lifted in vain: no name that is allowed can lead there"],
        ),
        ("default deny\nallow *.a.test\nallow net 10.0.0.0/8", &[]),
    ];
    for (text, expected) in rows {
        let (policy, _) = compile(text, &[]);
        let warnings = policy.lint();
        for warning in &warnings {
            assert!(warning.kind.help().is_some(), "{warning}");
        }
        let found: Vec<_> = warnings
            .iter()
            .map(|w| format!("{} {}", w.at, w.kind))
            .collect();
        assert_eq!(&found, expected, "{text}");
    }
}

/// A rule that the linter calls idle can go without changing any verdict on hosts.
#[test]
fn idle_rules_can_go() {
    let mut rng = Rng::with_seed(17);
    let hosts = ["a.t", "b.a.t", "c.b.a.t", "1.2.3.4"];
    let patterns = [
        "a.t",
        "*.a.t",
        "*.a.t:80",
        "b.a.t",
        "b.a.t:80",
        "*.b.a.t",
        "*.t:80-90",
        "*",
        "*:80",
        "1.2.3.4",
    ];
    let mut idle = 0;
    for _ in 0..2_000 {
        let default = *rng.choice(&["default allow", "default deny"]).unwrap();
        let mut lines = vec![default.to_owned()];
        for _ in 0..rng.usize(1..7) {
            lines.push(format!(
                "{} {}",
                rng.choice(&["allow", "block"]).unwrap(),
                rng.choice(&patterns).unwrap()
            ));
        }
        let (policy, _) = compile(&lines.join("\n"), &[]);
        for warning in policy
            .lint()
            .iter()
            .filter(|w| w.kind.to_string().starts_with("has no effect"))
        {
            idle += 1;
            let mut fewer = lines.clone();
            fewer.remove(warning.at.line as usize - 1);
            let (fewer, _) = compile(&fewer.join("\n"), &[]);
            for (host, port) in hosts
                .iter()
                .flat_map(|host| [80, 81, 443].map(|port| (host, port)))
            {
                let asked = target(&format!("{host}:{port}"));
                let actions = [&policy, &fewer].map(|policy| policy.admit_host(&asked).action);
                assert_eq!(actions[0], actions[1], "{asked}: {warning} in {lines:#?}");
            }
        }
    }
    assert!(idle > 500, "only {idle} idle rules were made");
}

#[test]
fn listed_names_that_were_hardly_meant() {
    let list = "com\n.com\n*.org\n||co.uk^\n*.me.github.io\nprinter\na.test\nb_\n";
    let top_levels = [
        "l:1:1 `com` is a top-level domain and covers no name below it",
        "l:2:1 `.com` covers a whole top-level domain",
        "l:3:1 `*.org` covers a whole top-level domain",
    ];
    let suffix = "l:4:1 `||co.uk^` covers everything below a public suffix";
    let bad = "l:8:1 `b_` is not a host pattern and has no effect";
    let rows: [(&str, &[&str]); 3] = [
        ("block", &[]),
        ("allow", &[suffix]),
        ("allow *\nbypass", &[suffix]),
    ];
    for (verb, more) in rows {
        let text = format!("default deny\n{verb} list \"l\"");
        let (_, warnings) = compile(&text, &[("l", list)]);
        let shown = warnings
            .iter()
            .filter(|warning| &*warning.source_name == "l");
        let shown: Vec<_> = shown
            .map(|warning| {
                let at = warning.at;
                format!("l:{}:{} {}", at.line, at.column, warning.kind)
            })
            .collect();
        assert_eq!(shown, [&top_levels, more, &[bad]].concat(), "{verb}");
    }
}
