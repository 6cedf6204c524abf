//! Classes of paths.

use crate::path::{PathPattern, Segment};
use std::collections::{BTreeSet, HashSet};

/// More classes than rules that people write for one host have.
const MOST: usize = 4096;

/// One path of each class that the patterns tell apart.
///
/// The patterns together are an automaton that reads a path segment by segment; every state it can be in is a
/// class, and the first path that leads there stands for it.
pub(super) fn classes(patterns: &[&PathPattern]) -> Vec<String> {
    let fresh = fresh(patterns);
    let start: State = (0..patterns.len()).map(|n| (n, 0)).collect();
    let mut seen: HashSet<State> = HashSet::new();
    let mut paths = Vec::new();
    let mut open = vec![(start, String::new())];
    while let Some((state, prefix)) = open.pop() {
        for part in choices(patterns, &state, &fresh) {
            let next = step(patterns, &state, part);
            let path = format!("{prefix}/{part}");
            if paths.len() < MOST && seen.insert(next.clone()) {
                paths.push(path.clone());
                // An empty segment is the last one of a canonical path.
                if !part.is_empty() {
                    open.push((next, path));
                }
            }
        }
    }
    paths
}

/// Patterns that still fit, and how many of their segments are read. One past the end, of a `**`, stays.
type State = BTreeSet<(usize, usize)>;

fn choices<'a>(patterns: &[&'a PathPattern], state: &State, fresh: &'a str) -> BTreeSet<&'a str> {
    let literals =
        state
            .iter()
            .filter_map(|(n, at)| match patterns.get(*n)?.segments().get(*at)? {
                Segment::Literal(literal) => Some(&**literal),
                Segment::One | Segment::Rest => None,
            });
    literals.chain([fresh, ""]).collect()
}

fn step(patterns: &[&PathPattern], state: &State, part: &str) -> State {
    let moved = state.iter().filter_map(|(n, at)| {
        let segments = patterns.get(*n)?.segments();
        if *at > segments.len() {
            return Some((*n, *at));
        }
        match segments.get(*at)? {
            Segment::Literal(literal) => (**literal == *part).then_some((*n, at + 1)),
            Segment::One => (!part.is_empty()).then_some((*n, at + 1)),
            Segment::Rest => Some((*n, segments.len() + 1)),
        }
    });
    // Which empty or full last segment it was matters to nobody, but no more may follow an empty one.
    let mut next: State = moved.collect();
    if part.is_empty() {
        next.insert((usize::MAX, 0));
    }
    next
}

/// A segment that no pattern has.
fn fresh(patterns: &[&PathPattern]) -> String {
    let literals: HashSet<&str> = patterns
        .iter()
        .flat_map(|pattern| pattern.segments())
        .filter_map(|segment| match segment {
            Segment::Literal(literal) => Some(&**literal),
            Segment::One | Segment::Rest => None,
        })
        .collect();
    let names = (0..).map(|n| match n {
        0 => "x".to_owned(),
        n => format!("x{n}"),
    });
    let mut names = names.take(literals.len() + 1);
    names
        .find(|name| !literals.contains(name.as_str()))
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

    /// Whatever path is asked for, some path of the classes is covered by the same patterns.
    #[test]
    fn no_path_is_in_a_class_of_its_own() {
        let mut rng = Rng::with_seed(41);
        let words = ["a", "b", "*"];
        for _ in 0..500 {
            let patterns: Vec<_> = (0..rng.usize(1..4))
                .map(|_| {
                    let mut text = String::new();
                    for _ in 0..rng.usize(1..4) {
                        text = format!("{text}/{}", rng.choice(words).unwrap());
                    }
                    text += *rng.choice(&["", "/", "/**"]).unwrap();
                    PathPattern::parse(&text).unwrap()
                })
                .collect();
            let found = classes(&patterns.iter().collect::<Vec<_>>());
            for _ in 0..50 {
                let mut path = String::new();
                for _ in 0..rng.usize(1..5) {
                    path = format!("{path}/{}", rng.choice(["a", "b", "c"]).unwrap());
                }
                path += *rng.choice(&["", "/"]).unwrap();
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
}
