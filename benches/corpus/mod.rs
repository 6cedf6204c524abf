//! Names, networks and questions for the benches: real ones where `benches/corpora` has fetched them, made up
//! otherwise; the same ones every time.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::{env, fs, path::PathBuf};

use fastrand::Rng;
use policy_lang::{
    Policy,
    language::{File, Source},
};

/// Whether the benches only run to show that they can, as under `cargo test --benches`.
pub(crate) fn is_brief() -> bool {
    let args = || env::args().skip(1);
    !args().any(|arg| arg == "--bench") || args().any(|arg| arg == "--test")
}

/// The sizes to measure: the small ones where the benches only run to show that they can.
pub(crate) fn sizes<const N: usize>(all: [usize; N]) -> impl Iterator<Item = usize> {
    let most = if is_brief() { 1_000 } else { usize::MAX };
    all.into_iter().filter(move |size| *size <= most)
}

/// What the benches work on.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// Whether the names are those of published lists.
    pub(crate) real: bool,
    /// One word of a list each: `name`, or `.name` with all below it.
    pub(crate) words: Vec<String>,
    /// IPv4 networks in CIDR notation.
    pub(crate) v4: Vec<String>,
    /// IPv6 networks in CIDR notation.
    pub(crate) v6: Vec<String>,
}

impl Corpus {
    /// Up to `names` names and `nets` networks of each family.
    pub(crate) fn load(names: usize, nets: usize) -> Self {
        let read = |name| {
            let text = fs::read_to_string(folder().join(name)).ok()?;
            Some(text.lines().map(str::to_owned).collect::<Vec<_>>())
        };
        match (read("names"), read("v4"), read("v6")) {
            (Some(mut words), Some(mut v4), Some(mut v6)) => {
                words.truncate(names);
                v4.truncate(nets);
                v6.truncate(nets);
                let real = true;
                Self {
                    real,
                    words,
                    v4,
                    v6,
                }
            }
            _ => Self {
                real: false,
                words: made_up_words(names),
                v4: made_up_nets(nets, true),
                v6: made_up_nets(nets, false),
            },
        }
    }

    /// How the figures should be read.
    pub(crate) fn describe(&self) -> &'static str {
        match self.real {
            true => "names and networks from published lists",
            false => "made-up names and networks; run `benches/corpora` for real ones",
        }
    }

    /// The first `count` words as a list file.
    pub(crate) fn list(&self, count: usize) -> String {
        let words = self.words.iter().take(count);
        words.flat_map(|word| [word.as_str(), "\n"]).collect()
    }

    /// The first `count` words blocked, and some names with ports and wildcards allowed.
    pub(crate) fn policy(&self, count: usize) -> Policy {
        let words = self.words.iter().take(count).step_by((count / 200).max(5));
        let names = words.map(|word| word.trim_start_matches('.'));
        let allow = (0..).zip(names).map(|(at, name)| match at % 2 {
            0 => format!("allow {name}:443\n"),
            _ => format!("allow *.{name}:8000-8999\n"),
        });
        compile(&allow.collect::<String>(), self.list(count))
    }

    /// Names asked for, shuffled: a quarter each are listed, below a listed one, unlisted, and unlisted with
    /// `www.` before them.
    pub(crate) fn questions(&self, listed: usize, count: usize) -> Vec<String> {
        let mut rng = Rng::with_seed(0x9e57);
        let listed = self.words.get(..listed).unwrap_or(&self.words);
        let name = |rng: &mut Rng| {
            let word = listed.get(rng.usize(..listed.len().max(1)));
            word.map_or("", |word| word.trim_start_matches('.'))
                .to_owned()
        };
        let made = (0..count).map(|number| match number % 4 {
            0 => name(&mut rng),
            1 => format!("{}.{}", word(&mut rng, 1..7), name(&mut rng)),
            2 => unlisted(&mut rng),
            _ => format!("www.{}", unlisted(&mut rng)),
        });
        let mut questions: Vec<_> = made.collect();
        rng.shuffle(&mut questions);
        questions
    }
}

/// The policy that allows what neither the rules nor the list block.
#[expect(clippy::expect_used, reason = "a bench fails by panicking")]
pub(crate) fn compile(rules: &str, list: String) -> Policy {
    let text = format!("{rules}default allow\nblock list \"names\"\n");
    let file = File::parse(&text, "bench").expect("the rules are well written");
    let mut list = Some(list);
    let mut load = |_, _: &str, _: &str| {
        let text = list.take().ok_or("asked for twice")?;
        let name = "names".into();
        Ok(Source { name, text })
    };
    file.compile(&mut load).expect("the rules hold").0
}

/// Where `benches/corpora` puts its files.
fn folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target"));
    target.unwrap_or_else(beside).join("corpora")
}

const ENDINGS: [&str; 10] = [
    "com", "com", "net", "org", "de", "ru", "info", "co.uk", "com.br", "io",
];

fn word(rng: &mut Rng, letters: std::ops::Range<usize>) -> String {
    let count = rng.usize(letters);
    (0..count).map(|_| rng.lowercase()).collect()
}

/// As long as a listed name, and not listed but by a wonder.
fn unlisted(rng: &mut Rng) -> String {
    let ending = rng.choice(ENDINGS).unwrap_or("com");
    format!("{}-{}.{ending}", word(rng, 3..8), word(rng, 3..8))
}

fn made_up_words(count: usize) -> Vec<String> {
    let mut rng = Rng::with_seed(0x11575);
    let mut words: Vec<String> = Vec::with_capacity(count);
    while words.len() < count {
        let mark = if rng.u8(..4) == 0 { "" } else { "." };
        // Four in ten lie below a name that is listed too, as in published lists.
        let made = match rng.choice(&words) {
            Some(above) if rng.u8(..10) < 4 => {
                format!(
                    "{mark}{}.{}",
                    word(&mut rng, 1..4),
                    above.trim_start_matches('.')
                )
            }
            _ => {
                let ending = rng.choice(ENDINGS).unwrap_or("com");
                format!("{mark}{}.{ending}", word(&mut rng, 4..15))
            }
        };
        if made.len() < 60 {
            words.push(made);
        }
    }
    words
}

/// Prefix lengths as in a table of routes: most are /24 and /48.
fn made_up_nets(count: usize, v4: bool) -> Vec<String> {
    let mut rng = Rng::with_seed(0xc1d7);
    let made = (0..count).map(|_| match v4 {
        true => {
            let len = rng
                .choice([24, 24, 24, 24, 22, 23, 20, 16, 32])
                .unwrap_or(24);
            let bits = (rng.u32(1 << 24..0xe000_0000) >> (32 - len)) << (32 - len);
            format!("{}/{len}", std::net::Ipv4Addr::from_bits(bits))
        }
        false => {
            let len = rng.choice([48, 48, 48, 32, 40, 64]).unwrap_or(48);
            let bits = ((0x2000_u128 << 112) | (rng.u128(..) >> 3)) >> (128 - len) << (128 - len);
            format!("{}/{len}", std::net::Ipv6Addr::from_bits(bits))
        }
    });
    made.collect()
}
