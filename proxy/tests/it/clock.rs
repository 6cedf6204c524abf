//! F17: a clock that jumps.

use std::fs;
use std::path::{Path, PathBuf};

/// Files that may ask for the date: what they make of it is shown, or judged by the other side's clock, or held against
/// a file's own date to tell whether an image of it is worth keeping.
const DATED: [&str; 6] = [
    "downstream/date.rs",
    "record.rs",
    "sources.rs",
    "tls/ca.rs",
    "tls/certificate.rs",
    "tls/leaf.rs",
];

/// Deadlines, idle times, limits and budgets are kept by the monotonic clock, so that no jump ends a connection or
/// refills a budget.
#[test]
fn the_wall_clock_decides_certificates_and_dates_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut dated = Vec::<PathBuf>::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            let asks = ["Timestamp::now", "Zoned::now", "SystemTime::now"];
            if asks.iter().any(|ask| source.contains(ask)) {
                dated.push(path.strip_prefix(&root).unwrap().to_owned());
            }
        }
    }
    dated.sort();
    assert_eq!(dated, DATED.map(PathBuf::from));
}
