//! Text to a policy that is ready: lists of up to a million names.
#![expect(
    clippy::print_stdout,
    reason = "a bench says what its figures are about"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use corpus::{Corpus, compile, sizes};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn text_to_ready(criterion: &mut Criterion) {
    let corpus = Corpus::load(sizes([1_000, 1_000_000]).max().unwrap_or(0), 1);
    println!("inputs: {}", corpus.describe());
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for count in sizes([1_000, 100_000, 1_000_000]) {
        let list = corpus.list(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("list", count), |b| {
            // The text is handed over, as a file that was just read; the policy's end is not measured.
            b.iter_batched(
                || list.clone(),
                |list| compile("", list),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, text_to_ready);
criterion_main!(benches);
