//! The policy engine beside other structures, on the same inputs in one run; prints tables in Markdown.
//!
//! Usage: `cargo run --release -- [names|nets] [largest size]`

#[path = "../../corpus/mod.rs"]
mod corpus;
mod hosts;
mod louds;
mod measure;
mod nets;
mod report;

use std::env;

use corpus::Corpus;

const NAMES: [usize; 4] = [10, 1_000, 100_000, 1_000_000];
const NETS: [usize; 4] = [10, 1_000, 100_000, 900_000];

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let largest = args
        .iter()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(usize::MAX);
    let wants = |what: &str| {
        args.iter()
            .all(|arg| arg.parse::<usize>().is_ok() || arg == what)
    };
    let corpus = Corpus::load(1_000_000, 900_000);
    println!(
        "Inputs: {}. Best of nine rounds by turns, processor time of the thread.\n",
        corpus.describe()
    );
    for count in NAMES
        .into_iter()
        .filter(|count| wants("names") && *count <= largest)
    {
        println!("{}", hosts::compare(&corpus, count));
    }
    for count in NETS
        .into_iter()
        .filter(|count| wants("nets") && *count <= largest)
    {
        println!("{}", nets::compare(&corpus, count));
    }
}
