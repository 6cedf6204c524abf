//! A decision about a host, an address and a request.
#![expect(
    clippy::print_stdout,
    reason = "a bench says what its figures are about"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use std::hint::black_box;

use corpus::{Corpus, sizes};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use policy_lang::{LocalAddrs, Policy, Port, Target};

/// Targets asked for in turn.
const QUESTIONS: usize = 4_096;

fn targets(corpus: &Corpus, listed: usize) -> Vec<Target> {
    let names = corpus.questions(listed, QUESTIONS);
    let parsed = names
        .iter()
        .map(|name| Target::parse(name, Some(Port::HTTPS)));
    parsed.filter_map(Result::ok).collect()
}

fn decide(criterion: &mut Criterion) {
    let corpus = Corpus::load(sizes([1_000, 1_000_000]).max().unwrap_or(0), 1);
    println!("inputs: {}", corpus.describe());
    let mut group = criterion.benchmark_group("decide");
    for count in sizes([10, 1_000, 100_000, 1_000_000]) {
        let policy = corpus.policy(count);
        let targets = targets(&corpus, count);
        let mut turn = targets.iter().cycle();
        group.bench_function(BenchmarkId::new("host", count), |b| {
            b.iter(|| {
                turn.next()
                    .map(|target| black_box(policy.admit_host(target)))
            });
        });
    }
    group.finish();
    whole(
        criterion,
        &corpus.policy(100_000),
        &corpus.questions(100_000, QUESTIONS),
    );
}

/// All that happens for one request: target, host, address, path, carriage.
fn whole(criterion: &mut Criterion, policy: &Policy, names: &[String]) {
    let local = LocalAddrs::new([]);
    let addr = std::net::Ipv4Addr::new(203, 0, 113, 7).into();
    let mut turn = names.iter().cycle();
    criterion.bench_function("decide/whole", |b| {
        b.iter(|| {
            let target = Target::parse(turn.next()?, Some(Port::HTTPS)).ok()?;
            let host = policy.admit_host(&target);
            let request = policy.admit_request(&target, "GET", "/repos/a/b?page=2");
            let addr = (
                policy.admit_addr(&target, host, addr, &local),
                policy.carriage(&target, addr),
            );
            Some(black_box((request, addr)))
        });
    });
}

criterion_group!(benches, decide);
criterion_main!(benches);
