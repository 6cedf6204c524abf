//! Text to a policy that is ready: lists of up to a million names.
#![expect(
    clippy::print_stdout,
    reason = "a bench says what its figures are about"
)]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "../policy-lang/tests/shelf/mod.rs"]
#[allow(
    dead_code,
    clippy::expect_used,
    reason = "tests use the rest, and a bench fails by panicking as they do"
)]
mod shelf;

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

use corpus::{Corpus, compile, sizes};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use policy_lang::ReadAt;
use shelf::Shelf;

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

/// The image of a list, in a file.
#[derive(Debug)]
struct InFile(File);

impl ReadAt for InFile {
    fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }
}

#[expect(clippy::expect_used, reason = "a bench fails by panicking")]
fn image_to_ready(criterion: &mut Criterion) {
    const RULES: &str = "default allow\nblock list \"names\"\n";
    // Shorter lists are not saved.
    for count in sizes([100_000, 1_000_000]) {
        let mut shelf = Shelf::new(Corpus::load(count, 1).list(count));
        shelf.compile(RULES);
        let image = shelf.image.take().expect("a list of this length is saved");
        let mut bytes = vec![0; image.size() as usize];
        image.read_at(&mut bytes, 0).expect("it is in memory");
        let file = tempfile::tempfile().expect("there is room");
        file.write_all_at(&bytes, 0).expect("there is room");
        shelf.image = Some(Arc::new(InFile(file)));
        criterion.bench_function(&format!("compile/image/{count}"), |b| {
            b.iter_with_large_drop(|| shelf.compile(RULES));
        });
    }
}

criterion_group!(benches, text_to_ready, image_to_ready);
criterion_main!(benches);
