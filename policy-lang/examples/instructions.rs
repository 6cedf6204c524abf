//! Fixed, made-up work for `scripts/instructions`, which counts the instructions that one unit of it takes.
//!
//! Usage: `instructions host|whole|list|cidr UNITS`
#![expect(clippy::unwrap_used, clippy::panic, reason = "it fails by panicking")]

use std::{env, hint::black_box, net::Ipv4Addr};

use fastrand::Rng;
use policy_lang::{
    LocalAddrs, Net, Policy, Port, Target,
    bench::Nets,
    language::{File, Source},
};

/// Names in the list that decisions are made with, and networks in the table.
const LISTED: usize = 1_000;
/// Policies that decisions are spread over. Each table draws its own hash key, and one key's collisions move
/// the count by a tenth; the mean of sixteen stays within a hundredth.
const KEYS: usize = 16;

fn main() {
    let args: Vec<String> = env::args().collect();
    let units: usize = args.get(2).and_then(|units| units.parse().ok()).unwrap();
    let mut rng = Rng::with_seed(0x1257);
    match args.get(1).map(String::as_str) {
        Some("host") => hosts(&mut rng, units),
        Some("whole") => whole(&mut rng, units),
        Some("list") => list(&mut rng, units),
        Some("cidr") => cidr(&mut rng, units),
        other => panic!("no work called {other:?}"),
    }
}

fn word(rng: &mut Rng) -> String {
    (0..rng.usize(3..12)).map(|_| rng.lowercase()).collect()
}

fn names(rng: &mut Rng, count: usize) -> Vec<String> {
    let endings = ["com", "net", "org", "co.uk"];
    let made = (0..count).map(|_| {
        let name = format!("{}.{}", word(rng), rng.choice(endings).unwrap());
        match rng.u8(..4) {
            0 => format!("{}.{name}", word(rng)),
            _ => name,
        }
    });
    made.collect()
}

/// A block list, and rules with ports and wildcards.
fn policy(names: &[String]) -> Policy {
    let allowed = names.iter().step_by(20);
    let rules: String = allowed
        .map(|name| format!("allow *.{name}:443\nallow {name}:80\n"))
        .collect();
    let text = format!("default allow\nblock list \"l\"\n{rules}");
    let mut load = |_, _: &str, _: &str| {
        let text = names.iter().map(|name| format!(".{name}\n")).collect();
        let name = "l".into();
        Ok(Source { name, text })
    };
    File::parse(&text, "x")
        .unwrap()
        .compile(&mut load)
        .unwrap()
        .0
}

/// A quarter each: listed, below a listed name, not listed, not listed with a label more.
fn questions(rng: &mut Rng, listed: &[String]) -> Vec<String> {
    let others = names(rng, listed.len());
    let pairs = listed.iter().zip(&others);
    pairs
        .flat_map(|(name, other)| {
            [
                name.clone(),
                format!("w.{name}"),
                other.clone(),
                format!("w.{other}"),
            ]
        })
        .collect()
}

/// Each policy in turn for four questions, one of each kind.
fn turns(policies: &[Policy]) -> impl Iterator<Item = &Policy> {
    policies.iter().flat_map(|policy| [policy; 4]).cycle()
}

fn hosts(rng: &mut Rng, units: usize) {
    let listed = names(rng, LISTED);
    let policies = [(); KEYS].map(|()| policy(&listed));
    let questions = questions(rng, &listed);
    let targets: Vec<_> = questions
        .iter()
        .map(|q| Target::parse(q, Some(Port::HTTPS)).unwrap())
        .collect();
    for (target, policy) in targets.iter().cycle().zip(turns(&policies)).take(units) {
        black_box(policy.admit_host(target));
    }
}

fn whole(rng: &mut Rng, units: usize) {
    let listed = names(rng, LISTED);
    let policies = [(); KEYS].map(|()| policy(&listed));
    let local = LocalAddrs::new([]);
    let addr = Ipv4Addr::new(203, 0, 113, 7).into();
    let questions = questions(rng, &listed);
    for (name, policy) in questions.iter().cycle().zip(turns(&policies)).take(units) {
        let target = Target::parse(name, Some(Port::HTTPS)).unwrap();
        let host = policy.admit_host(&target);
        black_box(policy.admit_request(&target, "GET", "/a/b?c=d"));
        black_box((
            policy.admit_addr(&target, host, addr, &local),
            policy.carriage(&target, addr),
        ));
    }
}

fn list(rng: &mut Rng, units: usize) {
    let names = names(rng, units.max(1));
    black_box(policy(&names));
}

fn cidr(rng: &mut Rng, units: usize) {
    let nets = (0..LISTED).map(|_| {
        Net::parse(&format!(
            "{}/{}",
            Ipv4Addr::from_bits(rng.u32(..)),
            rng.u8(12..=24)
        ))
        .unwrap()
    });
    let table = Nets::new(nets.collect::<Vec<_>>().into_iter());
    let addrs: Vec<_> = (0..4_096)
        .map(|_| Ipv4Addr::from_bits(rng.u32(..)).into())
        .collect();
    for addr in addrs.iter().cycle().take(units) {
        black_box(table.longest(*addr));
    }
}
