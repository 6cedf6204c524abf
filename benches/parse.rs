//! Text to statements: a file of rules in the policy language, and targets as they come over the wire.

#[path = "corpus/mod.rs"]
mod corpus;

use std::hint::black_box;

use corpus::Corpus;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use policy_lang::{Port, Target, language::File};

/// Rules in the file.
const RULES: usize = 10_000;

fn parse(criterion: &mut Criterion) {
    let corpus = Corpus::load(RULES, 1);
    let words = corpus.words.iter().map(|word| word.trim_start_matches('.'));
    let text: String = words.map(|name| format!("allow *.{name}:443\n")).collect();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(RULES as u64));
    group.bench_function("rules", |b| {
        b.iter(|| File::parse(black_box(&text), "bench").is_ok())
    });
    let names = corpus.questions(RULES, 4_096);
    let mut turn = names.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function("target", |b| {
        b.iter(|| {
            turn.next()
                .map(|name| Target::parse(name, Some(Port::HTTPS)))
        });
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
