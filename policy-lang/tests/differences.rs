//! `policy diff`: witnesses differ, and where there is none the policies agree.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use fastrand::Rng;
use policy_lang::{
    Change, Difference, LocalAddrs, Policy, Target, differences,
    language::{File, Source},
};
use std::net::IpAddr;

fn compile(text: &str, list: &str) -> Policy {
    let mut load = |_, name: &str, _: &str| {
        let (name, text) = (name.into(), list.to_owned());
        Ok(Source { name, text })
    };
    let file = File::parse(text, "test").unwrap_or_else(|e| panic!("{text}\n{e:#?}"));
    let compiled = file.compile(&mut load);
    compiled.unwrap_or_else(|e| panic!("{text}\n{e:#?}")).0
}

fn shown(difference: &Difference) -> String {
    let address = difference.address.map(|a| format!(" at {a}"));
    format!(
        "{}: {} {}{}",
        difference.change,
        difference.method,
        difference.url,
        address.unwrap_or_default()
    )
}

#[test]
fn witnesses_show_what_changed() {
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "default deny\nallow a.test",
            "default deny\nallow A.test.",
            &[],
        ),
        ("default deny", "default deny\nblock a.test", &[]),
        (
            "default deny\nallow a.test",
            "default deny\nallow a.test:443",
            // A rule that names the port also reaches this machine.
            &[
                "newly allowed: GET https://a.test/ at 127.0.0.1",
                "newly denied: GET http://a.test/",
            ],
        ),
        (
            "default deny\nallow a.test\nallow b.test",
            "default deny\nallow a.test\nallow *.c.test",
            &[
                "newly allowed: GET https://any.c.test/",
                "newly denied: GET https://b.test/",
            ],
        ),
        (
            "default deny\nallow *.a.test",
            "default deny\nallow *.a.test\nblock *.b.a.test\nallow c.b.a.test",
            // An exact name may resolve into private networks; one that a wildcard covers may not.
            &[
                "newly allowed: GET https://c.b.a.test/ at 10.0.0.1",
                "newly denied: GET https://any.b.a.test/",
            ],
        ),
        (
            "default deny\nallow a.test GET /x/**",
            "default deny\nallow a.test GET /x/*",
            &["newly denied: GET https://a.test/x/"],
        ),
        (
            "default deny\nallow a.test GET",
            "default deny\nallow a.test GET,POST",
            &["newly allowed: POST https://a.test/"],
        ),
        (
            "default allow",
            "default allow\nblock net 8.8.8.0/24",
            &["newly denied: GET https://elsewhere.example/ at 8.8.8.0"],
        ),
        (
            "default allow\nallow a.test",
            "default allow\nallow a.test\nbypass a.test",
            &["no longer read: GET https://a.test/ at 203.0.113.77"],
        ),
        (
            "default allow\nallow a.test",
            "default allow\nallow a.test\nlimit a.test 5/s",
            &["other terms: GET https://a.test/"],
        ),
        ("default allow", "default deny\nallow *", &[]),
        // What `;x` and `%2F` mean to a server decides only where a rule does not spell it out.
        (
            "default allow\nallow a.test GET /z\nblock a.test GET /a/b",
            "default allow\nallow a.test GET /z\nblock a.test GET /a/b\nallow a.test GET /a;v/*",
            &[
                "newly allowed: GET https://a.test/a;v/b",
                // The exact rule opens private networks to what it allows; the default did not.
                "newly allowed: GET https://a.test/a;v/x at 10.0.0.1",
            ],
        ),
        (
            "default allow\nallow a.test GET /z\nblock a.test GET /a/b/c",
            "default allow\nallow a.test GET /z\nblock a.test GET /a/b/c\nallow a.test GET /a%2Fb/*",
            &[
                "newly allowed: GET https://a.test/a%2Fb/c",
                "newly allowed: GET https://a.test/a%2Fb/x at 10.0.0.1",
            ],
        ),
        // Teredo, ISATAP, NAT64, 6to4: the address inside is judged, too.
        (
            "default allow\nblock net 2001::/32",
            "default allow",
            &["newly allowed: GET https://elsewhere.example/ at 2001:0:cb00:714d::34ff:8eb2"],
        ),
        (
            "default allow\nblock net 2001:db8:0:1:0:5efe::/96",
            "default allow",
            &["newly allowed: GET https://elsewhere.example/ at 2001:db8:0:1:0:5efe:cb00:714d"],
        ),
        (
            "default allow\nblock net 64:ff9b::/96",
            "default allow",
            &["newly allowed: GET https://elsewhere.example/ at 64:ff9b::cb00:714d"],
        ),
        (
            "default allow\nblock net 0.0.0.0/0\nallow net 8.8.8.0/24",
            "default allow\nblock net 0.0.0.0/0\nallow net 8.8.8.0/24\nblock net 2002::/16",
            &["newly denied: GET https://elsewhere.example/ at 2002:808:800::"],
        ),
    ];
    for (before, after, expected) in rows {
        let found = differences(&compile(before, ""), &compile(after, ""));
        let found: Vec<_> = found.iter().map(shown).collect();
        assert_eq!(&found, expected, "{before}\n--\n{after}");
    }
}

#[test]
fn lists_are_compared_by_what_they_hold() {
    let text = "default allow\nblock list \"l\"";
    let found = differences(
        &compile(text, "a.test\nb.test\n"),
        &compile(text, "b.test\n||c.test^\n"),
    );
    let found: Vec<_> = found.iter().map(shown).collect();
    assert_eq!(
        found,
        [
            "newly allowed: GET https://a.test/",
            "newly denied: GET https://any.c.test/",
        ]
    );
    // The names of a list are one rule.
    let name = |n| format!("n{n}.test\n");
    let names: String = (0..5_000).map(name).collect();
    let found = differences(&compile(text, ""), &compile(text, &names));
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [concat!(
            "newly denied: GET https://n0.test/ (and 4999 more alike)\n",
            "  before: allow: no rule covers it and the default is allow\n",
            "  after:  deny: rule `block n0.test` (l:1:1)\n",
        )]
    );
}

const HOSTS: [&str; 9] = [
    "a.t", "*.a.t", "b.a.t", "*.b.a.t", "*", "1.2.3.4", "c.t", "*.t", "10.1.2.3",
];
const PORTS: [&str; 5] = ["", "", ":80", ":443", ":80-90"];
const REQUESTS: [&str; 6] = ["", "", "", " GET", " /a/**", " GET,POST /a/*"];
const NETS: [&str; 5] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "8.0.0.0/8",
    "2001:db8::/32",
    "0.0.0.0/0",
];

fn line(rng: &mut Rng) -> String {
    let verb = *rng.choice(&["allow", "block"]).unwrap();
    match rng.u8(..8) {
        0 => format!("{verb} net {}", rng.choice(NETS).unwrap()),
        1 => format!("bypass net {}", rng.choice(NETS).unwrap()),
        2 => format!(
            "default {}",
            rng.choice(["net open", "net private"]).unwrap()
        ),
        _ => format!(
            "{verb} {}{}{}",
            rng.choice(HOSTS).unwrap(),
            rng.choice(PORTS).unwrap(),
            rng.choice(REQUESTS).unwrap()
        ),
    }
}

struct Asked {
    target: Target,
    method: &'static str,
    path: &'static str,
    addr: IpAddr,
}

fn asked(rng: &mut Rng) -> Asked {
    let hosts = [
        "a.t", "b.a.t", "x.a.t", "x.b.a.t", "c.t", "t", "z.u", "1.2.3.4", "10.1.2.3", "9.9.9.9",
        "10.9.9.9",
    ];
    let host = *rng.choice(&hosts).unwrap();
    let port = *rng.choice(&[80, 85, 443, 8080]).unwrap();
    let addrs = [
        "10.1.2.3",
        "10.9.9.9",
        "8.8.8.8",
        "9.9.9.9",
        "2001:db8::1",
        "2600::1",
        "127.0.0.1",
    ];
    let addr = rng.choice(&addrs).unwrap().parse().unwrap();
    Asked {
        target: Target::parse(&format!("{host}:{port}"), None).unwrap(),
        method: rng.choice(["GET", "POST", "PUT"]).unwrap(),
        path: rng
            .choice([
                "/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "//a", "/a//b", "/a//", "/a/../b",
                "/./b/",
            ])
            .unwrap(),
        addr: host.parse().unwrap_or(addr),
    }
}

/// All that may be seen of a policy's answer.
fn answer(policy: &Policy, asked: &Asked) -> (bool, bool, bool) {
    let request = policy.admit_request(&asked.target, asked.method, asked.path);
    let local = LocalAddrs::default();
    let addr = policy.admit_addr(&asked.target, request, asked.addr, &local);
    let allowed = request.action.is_allow() && addr.action.is_allow();
    let read = policy.carriage(&asked.target, asked.addr) == policy_lang::Carriage::Intercept;
    (request.action.is_allow(), allowed, !allowed || read)
}

/// Where `differences` finds none, no request finds one; and where a request finds one, so does `differences`.
#[test]
fn no_difference_means_agreement() {
    let mut rng = Rng::with_seed(43);
    let (mut same, mut differ) = (0, 0);
    for _ in 0..1_500 {
        let default = *rng.choice(&["default allow", "default deny"]).unwrap();
        let mut lines: Vec<_> = (0..rng.usize(..5)).map(|_| line(&mut rng)).collect();
        lines.retain(|line| !line.starts_with("default"));
        let before = [vec![default.to_owned()], lines.clone()].concat();
        match rng.u8(..4) {
            0 if !lines.is_empty() => drop(lines.remove(rng.usize(..lines.len()))),
            1 => rng.shuffle(&mut lines),
            _ => lines.push(line(&mut rng)),
        }
        let after = [vec![default.to_owned()], lines].concat();
        let (before, after) = (before.join("\n"), after.join("\n"));
        let policies = [compile(&before, ""), compile(&after, "")];
        let found = differences(&policies[0], &policies[1]);
        for witness in &found {
            let changed = witness.before.action != witness.after.action;
            let verdict = matches!(witness.change, Change::NewlyAllowed | Change::NewlyDenied);
            assert_eq!(changed, verdict, "{witness}");
            assert_ne!(witness.before, witness.after, "{witness}");
        }
        *if found.is_empty() {
            &mut same
        } else {
            &mut differ
        } += 1;
        for _ in 0..60 {
            let asked = asked(&mut rng);
            let answers = policies.each_ref().map(|policy| answer(policy, &asked));
            if found.is_empty() {
                assert_eq!(
                    answers[0], answers[1],
                    "{} {} {} at {}\n{before}\n--\n{after}",
                    asked.method, asked.target, asked.path, asked.addr
                );
            }
        }
    }
    assert!(same > 300 && differ > 300, "{same} same, {differ} differ");
}
