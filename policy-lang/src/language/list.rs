//! List files: a million blocked names, one a line.

use crate::{HostPattern, HostScope, PatternError, Position};
use std::net::IpAddr;

/// One name of a list.
pub(super) struct ListEntry<'a> {
    pub(super) text: &'a str,
    pub(super) at: Position,
    pub(super) patterns: Result<Vec<HostPattern>, PatternError>,
}

/// What hosts files say about the machine itself.
const HOSTS_FILE_OWN: [&str; 9] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "0.0.0.0",
];

/// Reads one-pattern-a-line files, hosts files (`0.0.0.0 name …`) and the domain rules of Adblock lists.
///
/// A plain name means what it means in a rule: itself and not its subdomains. `.name` and `||name^` mean the
/// name and everything below it.
pub(super) fn entries(text: &str) -> impl Iterator<Item = ListEntry<'_>> {
    text.lines().zip(1..).flat_map(|(line, number)| {
        let line_start = line.as_ptr() as usize;
        words(line).map(move |text| ListEntry {
            text,
            at: Position {
                line: number,
                column: column(line, text.as_ptr() as usize - line_start),
            },
            patterns: patterns(text),
        })
    })
}

fn column(line: &str, offset: usize) -> u32 {
    let before = line.get(..offset).unwrap_or("").chars().count();
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

/// The names on a line, without comments and without a hosts file's address.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let line = match line.trim_start().starts_with(['!', '[']) {
        // Adblock's comments and header. An IPv6 literal starts with a bracket too, but has a closing one.
        true if !line.contains(':') => "",
        true | false => line.split('#').next().unwrap_or(""),
    };
    let mut words = line.split_ascii_whitespace().peekable();
    let hosts = words
        .peek()
        .is_some_and(|word| word.parse::<IpAddr>().is_ok())
        && words.clone().nth(1).is_some();
    words
        .skip(usize::from(hosts))
        .filter(move |word| !hosts || !HOSTS_FILE_OWN.contains(word))
}

fn patterns(text: &str) -> Result<Vec<HostPattern>, PatternError> {
    let below = text
        .strip_prefix("||")
        .map(|name| name.strip_suffix('^').unwrap_or(name))
        .or_else(|| text.strip_prefix('.'));
    let pattern = HostPattern::parse(below.unwrap_or(text))?;
    let mut patterns = Vec::with_capacity(2);
    if let (Some(_), HostScope::Exact(crate::Host::Name(name))) = (below, &pattern.scope) {
        patterns.push(HostPattern {
            scope: HostScope::Below(name.clone()),
            ports: pattern.ports,
        });
    }
    patterns.push(pattern);
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_format_is_read() {
        let rows: &[(&str, &[&str])] = &[
            ("a.test", &["1:1 a.test"]),
            ("  *.a.test:443  # why", &["1:3 *.a.test:443"]),
            ("# all comment", &[]),
            ("! adblock comment", &[]),
            ("[Adblock Plus]", &[]),
            ("", &[]),
            ("0.0.0.0 a.test b.test", &["1:9 a.test", "1:16 b.test"]),
            ("127.0.0.1\tlocalhost", &[]),
            ("::1 localhost ip6-loopback", &[]),
            ("192.0.2.1", &["1:1 192.0.2.1"]),
            (".a.test", &["1:1 *.a.test", "1:1 a.test"]),
            ("||a.test^", &["1:1 *.a.test", "1:1 a.test"]),
            ("a.test\r\nb.test", &["1:1 a.test", "2:1 b.test"]),
            ("||a.test^$third-party", &["1:1 !"]),
            ("a b_c", &["1:1 a", "1:3 !"]),
        ];
        for (text, expected) in rows {
            let found: Vec<_> = entries(text)
                .flat_map(|entry| match entry.patterns {
                    Ok(patterns) => patterns
                        .iter()
                        .map(|p| format!("{} {p}", entry.at))
                        .collect(),
                    Err(_) => vec![format!("{} !", entry.at)],
                })
                .collect();
            assert_eq!(&found, expected, "{text:?}");
        }
    }
}
