//! The smallest network around an address.
#![expect(
    clippy::print_stdout,
    reason = "a bench says what its figures are about"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use std::{hint::black_box, net::IpAddr};

use corpus::{Corpus, sizes};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fastrand::Rng;
use policy_lang::{Net, bench::Nets};

/// Addresses asked for in turn: too many to stay in the caches.
const QUESTIONS: usize = 500_000;

fn addresses(v4: bool) -> Vec<IpAddr> {
    let mut rng = Rng::with_seed(0xadd4);
    let made = (0..QUESTIONS).map(|_| match v4 {
        true => IpAddr::V4(rng.u32(..).into()),
        false => IpAddr::V6(((0x2000_u128 << 112) | (rng.u128(..) >> 3)).into()),
    });
    made.collect()
}

fn cidr(criterion: &mut Criterion) {
    let corpus = Corpus::load(1, sizes([1_000, 900_000]).max().unwrap_or(0));
    println!("inputs: {}", corpus.describe());
    let mut group = criterion.benchmark_group("cidr");
    for (family, texts) in [("v4", &corpus.v4), ("v6", &corpus.v6)] {
        let addrs = addresses(family == "v4");
        for count in sizes([10, 1_000, 100_000, 900_000]) {
            let nets = texts
                .iter()
                .take(count)
                .filter_map(|text| Net::parse(text).ok());
            let table = Nets::new(nets);
            println!("{family}, {count} networks: {} bytes", table.bytes());
            let mut turn = addrs.iter().cycle();
            group.bench_function(BenchmarkId::new(family, count), |b| {
                b.iter(|| turn.next().map(|addr| black_box(table.longest(*addr))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, cidr);
criterion_main!(benches);
