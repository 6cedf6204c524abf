//! Decisions while a policy of a million names is replaced every second, beside the same without.
//!
//! Not criterion's kind of figure: the slowest thousandth of single decisions, in wall time. One thread asks at
//! a steady pace; another compiles, swaps as the proxy does, and drops the old policy itself.
#![expect(
    clippy::print_stdout,
    reason = "a bench says what its figures are about"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use corpus::{Corpus, compile, is_brief};
use policy_lang::{Policy, Port, Target};

/// Between two questions.
const PACE: Duration = Duration::from_micros(50);

fn main() {
    let (names, rounds, length) = match is_brief() {
        true => (1_000, 1, Duration::from_millis(100)),
        false => (1_000_000, 5, Duration::from_secs(6)),
    };
    let corpus = Corpus::load(names, 1);
    println!("inputs: {}", corpus.describe());
    let list = corpus.list(names);
    let questions = corpus.questions(names, 100_000);
    let parsed = questions
        .iter()
        .map(|name| Target::parse(name, Some(Port::HTTPS)));
    let targets: Vec<_> = parsed.filter_map(Result::ok).collect();
    let live = ArcSwap::from_pointee(compile("", list.clone()));
    println!("| round | p50 ns | p99 | p99.9 | p50 during | p99 | p99.9 | p99.9 ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for round in 1..=rounds {
        let steady = asked(&live, &targets, length);
        let done = AtomicBool::new(false);
        let during = thread::scope(|scope| {
            scope.spawn(|| reload(&live, &list, &done));
            let during = asked(&live, &targets, length);
            done.store(true, Relaxed);
            during
        });
        let ratio = during[2] / steady[2].max(1.0);
        let cells: Vec<_> = steady
            .iter()
            .chain(&during)
            .map(|ns| format!("{ns:.0}"))
            .collect();
        println!("| {round} | {} | {ratio:.2} |", cells.join(" | "));
    }
}

/// Nanoseconds of the median, the slowest hundredth and the slowest thousandth.
fn asked(live: &ArcSwap<Policy>, targets: &[Target], length: Duration) -> [f64; 3] {
    let end = Instant::now() + length;
    let mut times = Vec::new();
    for target in targets.iter().cycle() {
        let start = Instant::now();
        black_box(live.load().admit_host(black_box(target)));
        let now = Instant::now();
        times.push((now - start).as_nanos() as f64);
        if now > end {
            break;
        }
        while start.elapsed() < PACE {
            std::hint::spin_loop();
        }
    }
    times.sort_by(f64::total_cmp);
    [0.5, 0.99, 0.999].map(|share| {
        let at = (times.len() as f64 * share) as usize;
        times.get(at).copied().unwrap_or(f64::NAN)
    })
}

/// Compiles and swaps every second.
fn reload(live: &ArcSwap<Policy>, list: &str, done: &AtomicBool) {
    while !done.load(Relaxed) {
        let start = Instant::now();
        let old = live.swap(Arc::new(compile("", list.to_owned())));
        // Readers hold it only while they decide, so its end comes here.
        drop(old);
        while start.elapsed() < Duration::from_secs(1) && !done.load(Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
