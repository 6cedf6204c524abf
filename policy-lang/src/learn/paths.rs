//! Templates of paths: what varies from request to request becomes `*`.

use crate::{PathPattern, RequestPath, RequestPattern};
use std::collections::{BTreeMap, BTreeSet};

/// More templates than this say nothing to a reader.
const MOST: usize = 8;

/// So many different segments at one place are taken for values.
const VALUES: usize = 4;

/// Templates that cover every request, with their methods. `None` where a rule about the host says it better:
/// paths that servers read in several ways, or too many templates.
pub(super) fn templates(requests: &[&(String, String)]) -> Option<Vec<RequestPattern>> {
    let mut root = Node::default();
    for (method, path) in requests {
        let path = RequestPath::parse(path).ok()?;
        let known = method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if path.other_readings().next().is_some() || method.is_empty() || !known {
            return None;
        }
        root.insert(path.as_str().split('/').skip(1), method);
    }
    root.generalise();
    let mut found = BTreeMap::new();
    root.collect("", &mut found);
    if found.len() > MOST {
        found = root.by_first_segment();
    }
    if found.len() > MOST {
        return None;
    }
    let patterns = found.into_iter().map(|(path, methods)| {
        let path = Some(PathPattern::parse(&path).ok()?);
        let methods = methods.iter().map(|method| (**method).into()).collect();
        Some(RequestPattern { methods, path })
    });
    patterns.collect()
}

/// Paths as a tree of segments.
#[derive(Debug, Default)]
struct Node<'r> {
    /// Of requests that end here.
    methods: BTreeSet<&'r str>,
    below: BTreeMap<String, Node<'r>>,
}

impl<'r> Node<'r> {
    fn insert<'s>(&mut self, segments: impl Iterator<Item = &'s str>, method: &'r str) {
        let mut node = self;
        for segment in segments {
            let segment = match is_value(segment) {
                true => "*",
                false => segment,
            };
            node = node.below.entry(segment.to_owned()).or_default();
        }
        node.methods.insert(method);
    }

    /// Makes one of places with many different segments. The root's stay: they name the parts of a service.
    fn generalise(&mut self) {
        for node in self.below.values_mut() {
            node.merge_values();
        }
    }

    fn merge_values(&mut self) {
        let named = self.below.keys().filter(|segment| !segment.is_empty());
        let many = named.count() > VALUES;
        let any = self.below.remove("*");
        if let Some(mut all) = any.or_else(|| many.then(Self::default)) {
            for (segment, node) in std::mem::take(&mut self.below) {
                match segment.is_empty() {
                    // The folder itself is not one of its entries.
                    true => drop(self.below.insert(segment, node)),
                    false => all.absorb(node),
                }
            }
            self.below.insert("*".to_owned(), all);
        }
        for node in self.below.values_mut() {
            node.merge_values();
        }
    }

    fn absorb(&mut self, other: Self) {
        self.methods.extend(other.methods);
        for (segment, node) in other.below {
            self.below.entry(segment).or_default().absorb(node);
        }
    }

    fn collect(&self, prefix: &str, found: &mut BTreeMap<String, BTreeSet<&'r str>>) {
        if !self.methods.is_empty() {
            found
                .entry(prefix.to_owned())
                .or_default()
                .extend(&self.methods);
        }
        for (segment, node) in &self.below {
            node.collect(&format!("{prefix}/{segment}"), found);
        }
    }

    /// `/first/**` for each part of a service, and `/first` where it was asked for itself.
    fn by_first_segment(&self) -> BTreeMap<String, BTreeSet<&'r str>> {
        let mut found = BTreeMap::new();
        for (segment, node) in &self.below {
            let path = format!("/{segment}");
            if !node.methods.is_empty() {
                found.insert(path.clone(), node.methods.clone());
            }
            let mut methods = BTreeSet::new();
            for below in node.below.values() {
                below.all_methods(&mut methods);
            }
            if !methods.is_empty() {
                found.insert(format!("{path}/**"), methods);
            }
        }
        found
    }

    fn all_methods(&self, methods: &mut BTreeSet<&'r str>) {
        methods.extend(&self.methods);
        for node in self.below.values() {
            node.all_methods(methods);
        }
    }
}

/// Whether a segment looks like a value: a number, a UUID, a digest, a long token; or cannot stand in a pattern.
fn is_value(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let hex = segment.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let number = digits > 0 && digits == segment.len();
    let digest = hex && segment.len() >= 12 && digits > 0;
    let token = segment.len() >= 24 && digits >= 4;
    number || digest || token || segment.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_wildcards() {
        let rows: &[(&[&str], &[&str])] = &[
            (&["GET /"], &["GET /"]),
            (
                &["GET /a", "POST /a", "GET /b/"],
                &["GET,POST /a", "GET /b/"],
            ),
            (&["GET /repos/1/x", "GET /repos/22/x"], &["GET /repos/*/x"]),
            (
                &[
                    "GET /u/8f14e45f-ceea-467f-a0e6-1d2b3c4d5e6f",
                    "DELETE /u/0cc175b9c0f1b6a831c399e269772661",
                ],
                &["DELETE,GET /u/*"],
            ),
            (
                &[
                    "GET /p/a/z",
                    "GET /p/b/z",
                    "GET /p/c/z",
                    "GET /p/d/z",
                    "GET /p/e/z",
                ],
                &["GET /p/*/z"],
            ),
            (
                &["GET /p/a/1", "GET /p/b/2", "GET /p/"],
                &["GET /p/", "GET /p/a/*", "GET /p/b/*"],
            ),
            (&["GET /a%2Fb"], &[]),
            (&["get /a"], &[]),
        ];
        for (asked, expected) in rows {
            let requests: Vec<_> = asked
                .iter()
                .map(|request| {
                    let (method, path) = request.split_once(' ').unwrap();
                    (method.to_owned(), path.to_owned())
                })
                .collect();
            let found = templates(&requests.iter().collect::<Vec<_>>()).unwrap_or_default();
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(&found, expected, "{asked:?}");
        }
    }

    #[test]
    fn many_templates_become_parts_or_nothing() {
        let requests = |parts: usize, each: usize| -> Vec<(String, String)> {
            let pairs = (0..parts).flat_map(|p| (0..each).map(move |e| (p, e)));
            let letter = |n: usize| char::from(b'a' + u8::try_from(n).unwrap());
            pairs
                .map(|(p, e)| ("GET".to_owned(), format!("/{}/{}/q", letter(p), letter(e))))
                .collect()
        };
        let asked = requests(3, 4);
        let found = templates(&asked.iter().collect::<Vec<_>>()).unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["GET /a/**", "GET /b/**", "GET /c/**"]);
        let asked = requests(9, 2);
        assert_eq!(templates(&asked.iter().collect::<Vec<_>>()), None);
    }
}
