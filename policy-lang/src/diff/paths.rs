//! Classes of paths.

use crate::path::{PathPattern, RequestPath, Segment};
use std::collections::{BTreeSet, HashSet};

/// More classes than rules that people write for one host have.
const MOST: usize = 4096;

/// One path of each class that the patterns tell apart.
///
/// The patterns together are an automaton that reads a path segment by segment; every state it can be in is a
/// class, and the first path that leads there stands for it. A path with `%2F` or `;` is read in all ways.
pub(super) fn classes(patterns: &[&PathPattern]) -> Vec<String> {
    let fresh = fresh(patterns);
    // Where no pattern spells such a segment out, the verdict on both readings is that on two plain paths, so
    // policies that differ on it differ on a plain one.
    let ambiguous = literals(patterns).any(is_ambiguous);
    let mut seen: HashSet<State> = HashSet::new();
    let mut paths = Vec::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        for path in longer(patterns, &prefix, &fresh, ambiguous) {
            let Some(state) = State::of(patterns, &path) else {
                continue;
            };
            if paths.len() < MOST && seen.insert(state) {
                paths.push(path.clone());
                // An empty segment is the last one of a canonical path.
                if !path.ends_with('/') {
                    open.push(path);
                }
            }
        }
    }
    let doubled: Vec<String> = paths
        .iter()
        .flat_map(|path| doubled(patterns, path))
        .collect();
    for path in doubled {
        if let Some(state) = State::of(patterns, &path)
            && paths.len() < MOST
            && seen.insert(state)
        {
            paths.push(path);
        }
    }
    // People understand plain witnesses best.
    paths.sort_by_key(|path| is_ambiguous(path));
    paths
}

/// The pattern, how many of its segments are read, and whether all that can be read in two ways was spelled out in
/// it. One past the end, of a `**`, stays.
type Fits = BTreeSet<(usize, usize, bool)>;

/// What is known of a path once it is read.
#[derive(Debug, PartialEq, Eq, Hash)]
struct State {
    plain: Fits,
    others: BTreeSet<Fits>,
    /// No more may follow an empty segment, and whether `%2F` may follow decides what can be reached.
    ended: (bool, bool),
}

impl State {
    /// `None` for a path that no server should be asked for.
    fn of(patterns: &[&PathPattern], path: &str) -> Option<Self> {
        let read = RequestPath::parse(path).ok()?;
        Some(Self {
            plain: fits(patterns, read.as_str()),
            others: read
                .other_readings()
                .map(|path| fits(patterns, path))
                .collect(),
            ended: (path.ends_with('/'), ends_open(path)),
        })
    }
}

fn fits(patterns: &[&PathPattern], path: &str) -> Fits {
    let start = (0..patterns.len()).map(|n| (n, 0, true)).collect();
    let parts = path.split('/').skip(1);
    parts.fold(start, |fits, part| step(patterns, &fits, part))
}

fn step(patterns: &[&PathPattern], fits: &Fits, part: &str) -> Fits {
    let moved = fits.iter().filter_map(|(n, at, spelled)| {
        let segments = patterns.get(*n)?.segments();
        let unspelled = *spelled && !is_ambiguous(part);
        if *at > segments.len() {
            return Some((*n, *at, unspelled));
        }
        match segments.get(*at)? {
            Segment::Literal(literal) => (**literal == *part).then_some((*n, at + 1, *spelled)),
            Segment::One => (!part.is_empty()).then_some((*n, at + 1, unspelled)),
            Segment::Rest => Some((*n, segments.len() + 1, unspelled)),
        }
    });
    moved.collect()
}

/// Paths that go on from `prefix` in every way that may make a difference.
fn longer(patterns: &[&PathPattern], prefix: &str, fresh: &str, ambiguous: bool) -> Vec<String> {
    let read = |path: &str| RequestPath::parse(path).ok();
    let next = |path: &str| following(patterns, &fits(patterns, path.trim_end_matches('/')));
    let plain = next(prefix);
    let mut other = BTreeSet::new();
    if let Some(path) = read(prefix) {
        other.extend(path.other_readings().flat_map(next));
    }
    if other.is_empty() {
        other.clone_from(&plain);
    }
    let parts = plain.iter().chain(&other).copied().chain([fresh, ""]);
    let parts: BTreeSet<&str> = parts.collect();
    let mut paths: Vec<String> = parts
        .iter()
        .map(|part| format!("{prefix}/{part}"))
        .collect();
    if ambiguous {
        let single = || {
            other
                .iter()
                .copied()
                .chain([fresh])
                .filter(|part| !is_ambiguous(part))
        };
        paths.extend(single().map(|part| format!("{prefix}/{part};{fresh}")));
        paths.extend(single().map(|part| format!("{prefix}/{part}%2F{fresh}")));
        if ends_open(prefix) {
            paths.extend(single().map(|part| format!("{prefix}%2F{part}")));
        }
    }
    paths
}

/// The same path with one slash twice, where a server that does not resolve it reads it as what fewer patterns cover:
/// `*` is no empty segment. One with dot segments it reads as one with other names.
fn doubled(patterns: &[&PathPattern], path: &str) -> Vec<String> {
    let covered = |path: &str| {
        let covers = patterns.iter().map(|pattern| pattern.covers(path));
        covers.collect::<Vec<_>>()
    };
    let slashes = path.match_indices('/').map(|(at, _)| at);
    slashes
        .map(|at| path.split_at(at))
        .map(|(before, after)| format!("{before}/{after}"))
        .filter(|doubled| covered(doubled) != covered(path))
        .collect()
}

/// The literal segments that come next in patterns that fit so far.
fn following<'p>(patterns: &[&'p PathPattern], fits: &Fits) -> BTreeSet<&'p str> {
    let next = fits
        .iter()
        .filter_map(|(n, at, _)| patterns.get(*n)?.segments().get(*at));
    next.filter_map(literal).collect()
}

/// Whether the last segment has two readings as it is, so that `%2F` after it changes only the other one.
fn ends_open(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|last| last.contains(';'))
}

/// Whether a segment or path has two readings.
fn is_ambiguous(text: &str) -> bool {
    text.contains("%2F") || text.contains(';')
}

fn literal(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Literal(literal) => Some(literal),
        Segment::One | Segment::Rest => None,
    }
}

fn literals<'p>(patterns: &[&'p PathPattern]) -> impl Iterator<Item = &'p str> {
    let segments = patterns.iter().flat_map(|pattern| pattern.segments());
    segments.filter_map(literal)
}

/// A segment that no pattern has, nor a part of one.
fn fresh(patterns: &[&PathPattern]) -> String {
    let literals: Vec<&str> = literals(patterns).collect();
    let names = (0..).map(|n| match n {
        0 => "x".to_owned(),
        n => format!("x{n}"),
    });
    // Each letter of a literal is the end of one of these names at most.
    let letters: usize = literals.iter().map(|literal| literal.len()).sum();
    names
        .take(letters + 1)
        .find(|name| !literals.iter().any(|literal| literal.contains(name)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn every_class_has_a_path() {
        let rows: &[(&[&str], &[&str])] = &[
            (&["/a"], &["/", "/a", "/a/", "/x"]),
            (&["/a/**"], &["/", "/a", "/a/", "/a/x", "/x"]),
        ];
        for (patterns, expected) in rows {
            let parsed: Vec<_> = patterns
                .iter()
                .map(|p| PathPattern::parse(p).unwrap())
                .collect();
            let mut found = classes(&parsed.iter().collect::<Vec<_>>());
            found.sort_unstable();
            for path in *expected {
                let alike =
                    |other: &String| parsed.iter().all(|p| p.covers(other) == p.covers(path));
                assert!(found.iter().any(alike), "{patterns:?}: {path} in {found:?}");
            }
        }
    }

    fn some_patterns(rng: &mut Rng, words: &[&str]) -> Vec<PathPattern> {
        (0..rng.usize(1..4))
            .map(|_| PathPattern::parse(&joined(rng, words, &["", "/", "/**"])).unwrap())
            .collect()
    }

    /// A few `segments` and one of `ends`.
    fn joined(rng: &mut Rng, segments: &[&str], ends: &[&str]) -> String {
        let mut text = String::new();
        for _ in 0..rng.usize(1..5) {
            text = format!("{text}/{}", rng.choice(segments).unwrap());
        }
        text + rng.choice(ends).unwrap()
    }

    /// Whatever path is asked for, some path of the classes is covered by the same patterns.
    #[test]
    fn no_path_is_in_a_class_of_its_own() {
        let mut rng = Rng::with_seed(41);
        let words = ["a", "b", "*"];
        for _ in 0..500 {
            let patterns = some_patterns(&mut rng, &words);
            let found = classes(&patterns.iter().collect::<Vec<_>>());
            for _ in 0..50 {
                let path = joined(&mut rng, &["a", "b", "c"], &["", "/"]);
                let covered =
                    |path: &str| -> Vec<bool> { patterns.iter().map(|p| p.covers(path)).collect() };
                let wanted = covered(&path);
                assert!(
                    found.iter().any(|other| covered(other) == wanted),
                    "{path} under {patterns:?}: {found:?}"
                );
            }
        }
    }

    /// The same for paths that are read in two ways: the readings are covered by the same patterns, and those that
    /// cover the plain one spell it out or do not.
    #[test]
    fn no_path_of_two_readings_is_in_a_class_of_its_own() {
        let mut rng = Rng::with_seed(42);
        let words = ["a", "b", "*", "a;v", "b%2Fa"];
        let parts = ["a", "b", "c", "a;v", "b;w", "c;w", "b%2Fa", "a;w%2Fb"];
        let mut ambiguous = 0;
        for _ in 0..300 {
            let patterns = some_patterns(&mut rng, &words);
            let patterns: Vec<_> = patterns.iter().collect();
            if !literals(&patterns).any(is_ambiguous) {
                continue;
            }
            let class = |path: &str| {
                let read = RequestPath::parse(path).unwrap();
                let plain = read.as_str();
                let each = patterns.iter().map(|pattern| {
                    let covers = pattern.covers(plain);
                    (covers, covers && pattern.spells_out(plain))
                });
                let covered = |path| -> Vec<bool> {
                    let covers = patterns.iter().map(|pattern| pattern.covers(path));
                    covers.collect()
                };
                let others: BTreeSet<_> = read.other_readings().map(covered).collect();
                (each.collect::<Vec<_>>(), others)
            };
            let found: HashSet<_> = classes(&patterns).iter().map(|path| class(path)).collect();
            for _ in 0..50 {
                let path = joined(&mut rng, &parts, &["", "/"]);
                ambiguous += usize::from(is_ambiguous(&path));
                assert!(found.contains(&class(&path)), "{path} under {patterns:?}");
            }
        }
        assert!(ambiguous > 1_000, "{ambiguous}");
    }
}
