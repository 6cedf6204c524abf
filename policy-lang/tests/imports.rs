//! Policies of other tools: what they become, and what is said about the rest.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use policy_lang::{
    Target,
    config::Document,
    import::{Format, Imported, import},
    language::{Source, no_files},
};

fn imported(text: &str, format: Format) -> Imported {
    import(text, format, None).unwrap()
}

/// Statements without the head, and notes as `line: reason`.
fn shown(imported: &Imported) -> (Vec<String>, Vec<String>) {
    let text = imported.file.to_string();
    let lines = text.lines().skip(1).map(str::to_owned).collect();
    let notes = imported.notes.iter();
    let notes = notes
        .map(|note| format!("{}: {}", note.line, note.reason))
        .collect();
    (lines, notes)
}

type Row = (
    Format,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const ROWS: &[Row] = &[
    (
        Format::Hosts,
        "# head\n0.0.0.0 ads.test tracker.test # both\n127.0.0.1 localhost\n::1 ip6-localhost\n192.0.2.7 intranet.test\n",
        &["default allow", "block ads.test", "block tracker.test"],
        &["5: gives a name an address; the proxy asks the name server"],
    ),
    (
        Format::Adblock,
        "[Adblock Plus 2.0]\n! head\n||ads.test^\n||img.test^$third-party\n||cdn.test/banner/*\n@@||good.ads.test^\nsite.test##.ad\n/banner[0-9]/\n||x.test^$important\n",
        &[
            "default allow",
            "allow good.ads.test",
            "allow *.good.ads.test",
            "block ads.test",
            "block *.ads.test",
            "block x.test",
            "block *.x.test",
        ],
        &[
            "4: depends on `third-party`, which a proxy does not see",
            "5: is a pattern over URLs, not a domain",
            "7: hides parts of pages; the proxy does not change pages",
            "8: is a pattern over URLs, not a domain",
        ],
    ),
    (
        // An exception above a block of its own: no more specific rule may take it back.
        Format::Adblock,
        "@@||ads.test^\n||bad.ads.test^\n",
        &["default allow", "allow ads.test", "allow *.ads.test"],
        &[
            "2: left out: line 1 wins over it",
            "2: left out: line 1 wins over it",
        ],
    ),
    (
        Format::Squid,
        "acl localnet src 10.0.0.0/8\nacl SSL_ports port 443\nacl Safe_ports port 80 443 1025-65535\nacl good dstdomain .example.com api.test\nacl bad dstdomain evil.example.com\nacl lan dst 192.168.0.0/16\nacl m method POST\nhttp_port 3128\nhttp_access deny !Safe_ports\nhttp_access deny bad\nhttp_access deny lan\nhttp_access deny m\nhttp_access allow localnet good\nhttp_access deny all\n",
        &[
            "default deny",
            "block *:1-79",
            "block *:81-442",
            "block *:444-1024",
            "block evil.example.com",
            "block example.com:1-79",
            "block example.com:81-442",
            "block example.com:444-1024",
            "allow example.com",
            "block *.example.com:1-79",
            "block *.example.com:81-442",
            "block *.example.com:444-1024",
            "allow *.example.com",
            "block api.test:1-79",
            "block api.test:81-442",
            "block api.test:444-1024",
            "allow api.test",
            "block net 192.168.0.0/16",
        ],
        &[
            "0: networks are denied, but a name that is allowed exactly is reached at every address it has",
            "8: is not about which hosts may be reached",
            "12: `m` is an ACL of type `method`, which has no counterpart",
            "13: `localnet` is about who asks, and is left out",
        ],
    ),
    (
        // The first line that matches decides, not the most specific one.
        Format::Squid,
        "acl a dstdomain .a.test\nacl b dstdomain b.a.test\nhttp_access deny a\nhttp_access allow b\n",
        &["default deny", "block a.test", "block *.a.test"],
        &["4: left out: line 3 wins over it"],
    ),
    (
        Format::SandboxRuntime,
        "{\n  \"network\": {\n    \"allowedDomains\": [\"*.example.com\", \"api.test:443\", \"localhost\", \"no.example.com\"],\n    \"deniedDomains\": [\"no.example.com\"],\n    \"allowLocalBinding\": true\n  },\n  \"filesystem\": {\"denyRead\": []}\n}\n",
        &[
            "default deny",
            "block no.example.com",
            "allow *.example.com",
            "allow api.test:443",
            "allow localhost",
        ],
        &[
            "3: reaches this machine only with a port: write `allow localhost:PORT`",
            "3: left out: line 3 wins over it",
            "5: has no counterpart in a network policy",
            "7: is not about the network",
        ],
    ),
    (
        Format::SandboxRuntime,
        "{\"sandbox\": {\"enabled\": true, \"network\": {\"allowedDomains\": [\"a.test\"]}},\n\"permissions\": {\"allow\": [\"WebFetch(domain:docs.test)\", \"Bash(ls)\"], \"deny\": [\"WebFetch(domain:*.a.test)\"]}}",
        &[
            "default deny",
            "block *.a.test",
            "allow a.test",
            "allow docs.test",
        ],
        &["1: is not about the network", "2: is not about hosts"],
    ),
    (
        Format::Smokescreen,
        "version: v1\nservices:\n  - name: builder\n    project: x\n    action: enforce\n    allowed_domains:\n      - api.test\n      - '*.example.com'\n      - 'bad*glob'\n    allowed_external_proxies: [p.test]\nglobal_deny_list:\n  - evil.example.com\n  - never.test\nglobal_allow_list:\n  - all.test\n  - never.test\n",
        &[
            "default deny",
            "allow api.test",
            "allow *.example.com",
            "block never.test",
            "allow all.test",
        ],
        &[
            "9: `bad*glob` has a `*` that is not the whole first label",
            "10: has no counterpart",
            "12: left out: line 8 wins over it",
            "16: left out: line 13 wins over it",
        ],
    ),
    (
        Format::Sbx,
        "# rules\nsbx policy init deny-all\nsbx policy allow network api.test:443,**.example.com\nsbx policy allow network \"*.one.test\"\nsbx policy deny network 10.0.0.0/8\nsbx policy deny network evil.example.com\nsbx policy allow network --method GET,HEAD --path '/repos/**' git.test\nsbx policy allow network --protocol udp dns.test:53\nsbx run claude\n",
        &[
            "default deny",
            "block evil.example.com",
            "allow api.test:443",
            "allow *.example.com",
            "allow *.one.test",
            "allow git.test GET,HEAD /repos/**",
            "block net 10.0.0.0/8",
        ],
        &[
            "0: networks are denied, but a name that is allowed exactly is reached at every address it has",
            "4: `*.` covered one level; here it covers every depth",
            "8: UDP does not go through the proxy",
            "9: is no command that makes a network rule",
        ],
    ),
    (
        Format::Sbx,
        "NAME      TYPE     ORIGIN  DECISION  STATUS    RESOURCES\ndefault   network  local   allow     active    api.test:443, **.b.test\nlan       network  local   deny      active    *.corp.b.test\nold       network  local   allow     inactive  old.test\nfiles     filesystem local allow     active    /data\n",
        &[
            "default deny",
            "block *.corp.b.test",
            "allow api.test:443",
            "allow *.b.test",
        ],
        &[
            "3: `*.` covered one level; here it covers every depth",
            "4: is not active",
            "5: is not a rule about the network",
        ],
    ),
];

#[test]
fn every_format_is_translated() {
    for (format, text, lines, notes) in ROWS {
        assert_eq!(Format::detect(text), Some(*format), "{text}");
        let found = shown(&imported(text, *format));
        assert_eq!(found.0, *lines, "{text}");
        assert_eq!(found.1, *notes, "{text}");
    }
}

/// Ports, networks, list files and what no rule can say.
const SQUID: &str = "\
acl host dst 192.0.2.7 2001:db8::7
acl nets dst 198.51.100.0/24 oddity
acl web port 443 8000-8010
acl safe port 80 443 1025-65535
acl ok dstdomain example.com -n
acl listed dstdomain \"/etc/squid/ads.txt\"
acl both dstdomain x.test
http_access allow to_localhost
http_access deny !safe
http_access deny !host
http_access deny manager
http_access deny unknown
http_access deny listed
http_access deny listed web
http_access allow host
http_access deny nets
http_access allow nets
http_access allow both nets
http_access allow ok web
http_access deny all
";

#[test]
fn everything_of_squid_is_a_rule_or_a_note() {
    let (lines, notes) = shown(&imported(SQUID, Format::Squid));
    let expected = [
        "default deny",
        "block *:1-79",
        "block *:81-442",
        "block *:444-1024",
        "block 192.0.2.7:1-79",
        "block 192.0.2.7:81-442",
        "block 192.0.2.7:444-1024",
        "allow 192.0.2.7",
        "block [2001:db8::7]:1-79",
        "block [2001:db8::7]:81-442",
        "block [2001:db8::7]:444-1024",
        "allow [2001:db8::7]",
        "allow example.com:443",
        "allow example.com:8000-8010",
        "block net 198.51.100.0/24",
        "block list \"/etc/squid/ads.txt\"",
    ];
    assert_eq!(lines, expected);
    let expected = [
        "0: networks are denied, but a name that is allowed exactly is reached at every address it has",
        "8: needs no rule: this machine and metadata services are closed unless opened one by one",
        "10: `!host` asks for what is not in an ACL, which no rule can",
        "11: `manager` has no counterpart",
        "12: ACL `unknown` is not defined",
        "13: list `/etc/squid/ads.txt` is named as it is; its place in the order is lost",
        "14: a list file cannot be combined with other conditions",
        "16: `oddity` is not a network",
        "17: `198.51.100.0/24`: names are allowed here, not the networks they lead to",
        "17: `oddity` is not a network",
        "18: asks for a domain and an address at once, which no rule can",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn a_note_says_where_if_anywhere() {
    let text = "acl ok dstdomain x.test\nacl bad dst 10.0.0.0/8\nacl re url_regex x\n\
                http_access deny bad re\nhttp_access deny bad\nhttp_access allow ok\nhttp_access deny all\n";
    let notes = imported(text, Format::Squid).notes;
    let told: Vec<_> = notes.iter().map(ToString::to_string).collect();
    let rows = [
        "networks are denied, but a name that",
        "line 4: `http_access deny bad re`: `re` is",
    ];
    assert!(
        told.iter()
            .zip(rows)
            .all(|(note, row)| note.starts_with(row))
            && told.len() == rows.len(),
        "{told:#?}"
    );
}

#[test]
fn what_the_order_decided_stays_decided() {
    let rows = [
        // (format, text, target, allowed)
        (Format::Squid, ROWS[3].1, "www.example.com:443", true),
        (Format::Squid, ROWS[3].1, "www.example.com:22", false),
        (Format::Squid, ROWS[3].1, "evil.example.com:443", false),
        (Format::Squid, ROWS[4].1, "b.a.test:443", false),
        (
            Format::SandboxRuntime,
            ROWS[5].1,
            "no.example.com:443",
            false,
        ),
        (Format::Smokescreen, ROWS[7].1, "evil.example.com:443", true),
        (Format::Smokescreen, ROWS[7].1, "never.test:443", false),
        (
            Format::Sbx,
            "sbx policy deny network '**.test:80'\nsbx policy allow network a.test\n",
            "a.test:80",
            false,
        ),
        (
            Format::Sbx,
            "sbx policy deny network '**.test:80'\nsbx policy allow network a.test\n",
            "a.test:443",
            true,
        ),
        (
            Format::Sbx,
            "sbx policy deny network '**.test'\nsbx policy allow network --method GET a.test\n",
            "a.test:443",
            false,
        ),
    ];
    for (format, text, target, allowed) in rows {
        let (policy, _) = imported(text, format).file.compile(&mut no_files).unwrap();
        let target = Target::parse(target, None).unwrap();
        let found = policy.admit_request(&target, "GET", "/").action.is_allow();
        assert_eq!(found, allowed, "{target} under\n{text}");
    }
}

#[test]
fn what_is_no_policy_is_refused() {
    let rows = [
        (Format::SandboxRuntime, "{", "line 1: not JSON"),
        (Format::SandboxRuntime, "{}", "there is neither `network`"),
        (Format::Smokescreen, "services: [", "line 2: not YAML"),
        (
            Format::Smokescreen,
            "a: &x [b]\nc: *x\n",
            "line 2: aliases are not taken",
        ),
        (
            Format::Smokescreen,
            "services:\n- name: a\n- name: b\n",
            "there are several services: name one of `a`, `b`",
        ),
        (Format::Smokescreen, "", "the file"),
    ];
    for (format, text, says) in rows {
        let error = import(text, format, None).unwrap_err().to_string();
        assert!(error.starts_with(says), "{text}: {error}");
    }
    let deep = "[".repeat(50);
    assert!(import(&deep, Format::Smokescreen, None).is_err());
    let error = import("services:\n- name: a\n", Format::Smokescreen, Some("b")).unwrap_err();
    assert_eq!(error.to_string(), "there is no service `b`; there is `a`");
}

/// Whatever stands in a file, what it becomes is a policy.
#[test]
fn no_text_makes_an_importer_panic() {
    let mut rng = fastrand::Rng::with_seed(53);
    for _ in 0..10_000 {
        let (format, text, ..) = rng.choice(ROWS).unwrap();
        let mut text = (*text).to_owned();
        for _ in 0..rng.usize(1..8) {
            let at = rng.usize(..=text.len());
            if text.is_char_boundary(at) {
                let odd = [
                    "\"", "\n", "*", ".", ":", " ", "é", "\0", "!", "- ", "/", "net", "list", "$",
                    "#", "]",
                ];
                text.insert_str(at, rng.choice(odd).unwrap());
            }
        }
        if let Ok(imported) = import(&text, *format, None) {
            let lines = imported.file.to_string();
            assert!(lines.starts_with("# imported from"), "{text}\n{lines}");
            let mut load = |_, name: &str, _: &str| {
                let (name, text) = (name.into(), String::new());
                Ok(Source { name, text })
            };
            let (policy, _) = imported.file.compile(&mut load).unwrap();
            let document = Document::from_file(&imported.file).unwrap();
            let (json, _) = document.compile_with(&mut load).unwrap();
            assert_eq!(policy.digest(), json.digest(), "{text}\n{lines}");
            for note in &imported.notes {
                assert!(note.line <= text.lines().count() + 1, "{note}");
                assert!(!note.to_string().chars().any(char::is_control), "{note:?}");
            }
        }
    }
}
