//! Random files of the policy language.
#![allow(
    dead_code,
    reason = "each test file that includes this uses a part of it"
)]

use fastrand::Rng;

pub(crate) const HOSTS: [&str; 8] = [
    "a.test",
    "*.b.test",
    "*",
    "1.2.3.4",
    "[::1]:80",
    "c.test:80-90",
    "net.",
    "*:443",
];
pub(crate) const NETS: [&str; 4] = ["10.0.0.0/8", "10.1.0.0/16", "fc00::/7", "100.64.0.0/10"];

/// A random statement of the language.
fn statement(rng: &mut Rng) -> String {
    let host = |rng: &mut Rng| (*rng.choice(&HOSTS).unwrap()).to_owned();
    let verb = *rng.choice(&["allow", "block", "bypass"]).unwrap();
    match rng.u8(..11) {
        0 => format!(
            "default {}",
            rng.choice(&["allow", "deny", "net open"]).unwrap()
        ),
        1 => {
            let members: Vec<_> = (0..rng.usize(..12)).map(|_| host(rng)).collect();
            let gap = *rng.choice(&[", ", "\n", " # x\n", ",# y\n\n"]).unwrap();
            format!("set s{} = {{ {}\n}}", rng.u8(..9), members.join(gap))
        }
        2 => format!("{verb} net {}", rng.choice(&NETS).unwrap()),
        3 => format!("{verb} list \"x \\\" y\""),
        4 => format!(
            "allow {} {}",
            host(rng),
            rng.choice(&["GET", "GET,PUT", "/x/*", "POST /y/**"])
                .unwrap()
        ),
        5 => format!(
            "limit {} {}/m burst {}",
            host(rng),
            rng.u8(1..),
            rng.u8(1..)
        ),
        6 => format!(
            "inject {} {} from {}",
            host(rng),
            rng.choice(&["x-k", "query", "query \"k\"", "form \"k\""])
                .unwrap(),
            rng.choice(&[
                "env X",
                "command \"a b\" as \"%s\"",
                "oauth \"f\" limit 5/d on /x/*",
                "file \"f\" budget 3GiB/m"
            ])
            .unwrap()
        ),
        9 => format!(
            "budget {} {}",
            host(rng),
            rng.choice(&["5MB/d", "20 names/h", "1KiB/s up", "9B/m down"])
                .unwrap()
        ),
        7 => format!(
            "expect {} https://a.test:1/x?y#z",
            rng.choice(&["allow PUT", "deny"]).unwrap()
        ),
        8 => "include \"other file\"".to_owned(),
        _ => format!("{verb} {}", host(rng)),
    }
}

/// A file of a few random statements, with comments, indents and blank lines.
pub(crate) fn random_text(rng: &mut Rng) -> String {
    (0..rng.usize(..12))
        .map(|_| {
            let indent = *rng.choice(&["", " ", "\t"]).unwrap();
            let end = *rng
                .choice(&["\n", " # c\n", "\r\n", "\n\n\n", "\n#\n"])
                .unwrap();
            format!("{indent}{}{end}", statement(rng))
        })
        .collect()
}
