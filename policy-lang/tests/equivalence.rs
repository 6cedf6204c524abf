//! The engine equals the reference matcher on a million generated (policy, request) pairs; order, spelling
//! and narrowing have the properties that DESIGN §4 promises.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod reference;

use fastrand::Rng;
use policy_lang::{
    Action, Effect, Host, LocalAddrs, Outcome, Policy, Target,
    config::Document,
    language::{File, Source},
};
use reference::{Request, Rules, decide};
use std::net::IpAddr;

/// Pairs compared by [`the_engine_equals_the_reference`].
const PAIRS: usize = 1_000_000;
const REQUESTS_PER_POLICY: usize = 100;

const NETS: [&str; 14] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3/32",
    "100.64.0.0/10",
    "100.64.1.0/24",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "::/0",
    "64:ff9b::/96",
    "fc00::/7",
    "fc00:1::/32",
    "ff00::/8",
];

const ADDRS: [&str; 34] = [
    "8.8.8.8",
    "10.0.0.1",
    "10.1.0.1",
    "10.1.2.1",
    "10.1.2.3",
    "100.64.0.1",
    "100.64.1.1",
    "127.0.0.1",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.10",
    "::",
    "::1",
    "::ffff:10.1.2.3",
    "::10.1.2.3",
    "::ffff:0:127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::10.1.2.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:a00:0:100::",
    "64:ff9b:1::8.8.8.8",
    "2002:a01:201::",
    "2001:0:808:808:0:0:f5fe:fdfe",
    "fc00:1::1",
    "fd00:ec2::254",
    "2001:db8::5efe:10.1.0.1",
    "ff02::1",
];

const PORTS: [u16; 4] = [22, 80, 443, 8080];
const METHODS: [&str; 2] = ["GET", "POST"];
const ASKED: [&str; 3] = ["GET", "POST", "post"];

struct Maker(Rng);

impl Maker {
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        items.get(self.0.usize(..items.len())).unwrap()
    }

    fn name(&mut self) -> String {
        // Long names and deep ones take other ways through the matcher than usual ones.
        let labels: &[&str] = match self.0.u8(..16) {
            0 => &["a", "label-of-15-byt", "sixteen-bytes-ab"],
            _ => &["a", "b", "ab", "x-1"],
        };
        let count = match self.0.u8(..32) {
            0 => self.0.usize(7..12),
            _ => self.0.usize(1..5),
        };
        let labels: Vec<_> = (0..count).map(|_| *self.pick(labels)).collect();
        labels.join(".")
    }

    fn host(&mut self) -> String {
        match self.0.u8(..8) {
            0 => literal(self.addr()),
            _ => self.name(),
        }
    }

    fn addr(&mut self) -> IpAddr {
        self.pick(&ADDRS).parse().unwrap()
    }

    fn pattern(&mut self) -> String {
        let host = match self.0.u8(..8) {
            0..4 => self.host(),
            4..7 => format!("*.{}", self.name()),
            _ => "*".to_owned(),
        };
        match self.0.u8(..7) {
            0..2 => format!("{host}:{}", self.pick(&PORTS)),
            2 => format!(
                "{host}:{}",
                self.pick(&["22-443", "80-443", "80-8080", "1-65535"])
            ),
            _ => host,
        }
    }

    fn list<T>(&mut self, most: usize, item: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.0.usize(..=most)).map(|_| item(self)).collect()
    }

    fn rules(&mut self) -> Rules {
        let net = |maker: &mut Self| (*maker.pick(&NETS)).to_owned();
        Rules {
            default_allow: self.0.bool(),
            allow: self.list(8, Self::pattern),
            block: self.list(8, Self::pattern),
            allow_cidr: self.list(3, net),
            block_cidr: self.list(5, net),
            requests: self.list(4, |maker| {
                let method = *maker.pick(&METHODS);
                (maker.0.bool(), maker.pattern(), method)
            }),
        }
    }

    fn request(&mut self) -> Request {
        let host = self.host();
        let own = host.trim_matches(['[', ']']).parse();
        let method = *self.pick(&ASKED);
        Request {
            addr: own.unwrap_or_else(|_| self.addr()),
            host,
            port: *self.pick(&PORTS),
            method,
            local: if self.0.bool() {
                vec!["192.0.2.10".parse().unwrap()]
            } else {
                Vec::new()
            },
        }
    }
}

/// Canonical text of an address as a host.
fn literal(addr: IpAddr) -> String {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn compile(rules: &Rules) -> Policy {
    let text = serde_json::json!({
        "policy": if rules.default_allow { "allow" } else { "deny" },
        "network": {
            "allowedDomains": rules.allow,
            "blockedDomains": rules.block,
            "allowCIDR": rules.allow_cidr,
            "blockCIDR": rules.block_cidr,
            "requests": requests(rules),
        },
    });
    let (document, _) = Document::parse(&text.to_string(), "test").unwrap();
    document.compile().unwrap().0
}

fn requests(rules: &Rules) -> Vec<serde_json::Value> {
    let each = rules.requests.iter().map(|(allow, host, method)| {
        let action = if *allow { "allow" } else { "block" };
        serde_json::json!({"action": action, "host": host, "methods": [method]})
    });
    each.collect()
}

fn engine(policy: &Policy, request: &Request, spelled: &str) -> (bool, bool) {
    let target = Target::parse(&format!("{spelled}:{}", request.port), None).unwrap();
    let host = policy.admit_host(&target);
    let verdict = policy.admit_request(&target, request.method, "/");
    let local = LocalAddrs::new(request.local.iter().copied());
    let addr = policy.admit_addr(&target, verdict, request.addr, &local);
    (host.action.is_allow(), addr.action.is_allow())
}

fn rounds(pairs: usize, mut check: impl FnMut(&mut Maker, &Rules, &Policy)) {
    let mut maker = Maker(Rng::with_seed(0x5eed));
    for _ in 0..pairs / REQUESTS_PER_POLICY {
        let rules = maker.rules();
        let policy = compile(&rules);
        check(&mut maker, &rules, &policy);
    }
}

#[test]
fn the_engine_equals_the_reference() {
    let mut allowed = [0, 0];
    rounds(PAIRS, |maker, rules, policy| {
        for _ in 0..REQUESTS_PER_POLICY {
            let request = maker.request();
            let expected = decide(rules, &request);
            let found = engine(policy, &request, &request.host);
            assert_eq!(
                found, expected,
                "host and address of {request:?} under {rules:#?}"
            );
            let [hosts, addrs] = &mut allowed;
            *hosts += usize::from(found.0);
            *addrs += usize::from(found.1);
        }
    });
    // Neither side may win by always saying the same.
    for count in allowed {
        assert!(
            (PAIRS / 10..PAIRS * 9 / 10).contains(&count),
            "{allowed:?} of {PAIRS} allowed"
        );
    }
}

/// The same rules as list files and statements: names that stand in both, twice, and in both lists.
#[test]
fn listed_names_are_rules_like_others() {
    rounds(PAIRS / 20, |maker, rules, _| {
        let mut rules = rules.clone();
        let mut lists = [String::new(), String::new()];
        if maker.0.bool() {
            // One word of a list for two rules.
            let name = maker.name();
            let (before, after) = *maker.pick(&[(".", ""), ("||", "^")]);
            lists[1] = format!("{before}{name}{after}\n");
            rules.block.extend([format!("*.{name}"), name]);
        }
        let policy = &compile(&rules);
        let mut text = String::from("default net open\nallow list \"a\"\nblock list \"b\"\n");
        text += if rules.default_allow {
            "default allow\n"
        } else {
            "default deny\n"
        };
        for (verb, patterns, list) in [("allow", &rules.allow, 0), ("block", &rules.block, 1)] {
            for pattern in patterns {
                let place = maker.0.u8(..3);
                if place < 2 {
                    lists[list] += &format!("{pattern}\n");
                }
                if place > 0 {
                    text += &format!("{verb} {pattern}\n");
                }
            }
        }
        for (verb, nets) in [("allow", &rules.allow_cidr), ("block", &rules.block_cidr)] {
            text.extend(nets.iter().map(|net| format!("{verb} net {net}\n")));
        }
        for (allow, host, method) in &rules.requests {
            let verb = if *allow { "allow" } else { "block" };
            text += &format!("{verb} {host} {method}\n");
        }
        let mut load = |_, name: &str, _: &str| {
            let text = lists[usize::from(name == "b")].clone();
            let name = name.into();
            Ok(Source { name, text })
        };
        let (listed, _) = File::parse(&text, "test")
            .unwrap()
            .compile(&mut load)
            .unwrap();
        for _ in 0..REQUESTS_PER_POLICY {
            let request = maker.request();
            let verdicts = [policy, &listed].map(|policy| engine(policy, &request, &request.host));
            assert_eq!(
                verdicts[0], verdicts[1],
                "{request:?} under\n{text}\n{lists:?}"
            );
            names_its_rule(&listed, &request);
        }
    });
}

/// The rule that a verdict names has the verdict's action, covers the target, and decides in the explanation.
fn names_its_rule(policy: &Policy, request: &Request) {
    let target = Target::parse(&format!("{}:{}", request.host, request.port), None).unwrap();
    let verdict = policy.admit_host(&target);
    let Some(id) = verdict.reason.rule() else {
        return;
    };
    let rule = policy.rule_at(id).unwrap();
    let (Effect::Host(action, pattern) | Effect::Request(action, pattern, _)) = &rule.effect else {
        panic!("{rule} decided about {target}");
    };
    assert_eq!(*action, verdict.action, "{rule} about {target}");
    assert!(
        matches!(target.host(), Host::Addr(_)) || pattern.covers(&target),
        "{rule} about {target}"
    );
    let explained = policy.explain(&target, &[], &LocalAddrs::default());
    let deciding = explained
        .candidates
        .iter()
        .find(|c| c.outcome == Outcome::Decides);
    let deciding = deciding.map(|c| (c.rule.as_str(), c.origin.as_str()));
    let named = (rule.effect.to_string(), rule.origin.to_string());
    assert_eq!(
        deciding,
        Some((named.0.as_str(), named.1.as_str())),
        "{explained}"
    );
}

#[test]
fn the_order_of_rules_never_matters() {
    rounds(PAIRS / 20, |maker, rules, policy| {
        let mut shuffled = rules.clone();
        for list in [
            &mut shuffled.allow,
            &mut shuffled.block,
            &mut shuffled.allow_cidr,
            &mut shuffled.block_cidr,
        ] {
            maker.0.shuffle(list);
        }
        maker.0.shuffle(&mut shuffled.requests);
        let other = compile(&shuffled);
        assert_eq!(policy.digest(), other.digest());
        for _ in 0..REQUESTS_PER_POLICY {
            let request = maker.request();
            let verdicts = [policy, &other].map(|policy| engine(policy, &request, &request.host));
            assert_eq!(verdicts[0], verdicts[1], "{request:?} under {rules:#?}");
        }
    });
}

#[test]
fn every_spelling_has_the_verdict_of_its_canonical_form() {
    rounds(PAIRS / 20, |maker, rules, policy| {
        for _ in 0..REQUESTS_PER_POLICY {
            let request = maker.request();
            let mut spelled: String = request
                .host
                .chars()
                .map(|c| {
                    if maker.0.bool() {
                        c.to_ascii_uppercase()
                    } else {
                        c
                    }
                })
                .collect();
            if maker.0.bool() && !spelled.ends_with(']') {
                spelled.push('.');
            }
            let canonical = engine(policy, &request, &request.host);
            assert_eq!(
                engine(policy, &request, &spelled),
                canonical,
                "{spelled} under {rules:#?}"
            );
        }
    });
}

/// A block more, a lift less or default deny never admits what was refused before.
#[test]
fn narrowing_never_admits_more() {
    rounds(PAIRS / 20, |maker, rules, policy| {
        let mut narrow = rules.clone();
        match maker.0.u8(..4) {
            0 => narrow.default_allow = false,
            1 => narrow.block.push(maker.pattern()),
            2 => narrow.block_cidr.push((*maker.pick(&NETS)).to_owned()),
            _ => narrow.allow_cidr.clear(),
        }
        let narrowed = compile(&narrow);
        for _ in 0..REQUESTS_PER_POLICY {
            let request = maker.request();
            let before = engine(policy, &request, &request.host);
            let after = engine(&narrowed, &request, &request.host);
            assert!(
                before >= after,
                "{request:?} under {rules:#?} and then {narrow:#?}"
            );
        }
    });
}

#[test]
fn an_explanation_says_what_the_data_path_decides() {
    rounds(PAIRS / 100, |maker, _, policy| {
        for _ in 0..REQUESTS_PER_POLICY {
            let request = maker.request();
            let target =
                Target::parse(&format!("{}:{}", request.host, request.port), None).unwrap();
            let local = LocalAddrs::new(request.local.iter().copied());
            let asked = (request.method, "/");
            let explained = policy.explain_request(&target, asked, &[request.addr], &local);
            let (host, addr) = engine(policy, &request, &request.host);
            assert_eq!(explained.host == Action::Allow, host, "{explained}");
            assert_eq!(explained.action == Action::Allow, addr, "{explained}");
        }
    });
}
