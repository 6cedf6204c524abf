//! List files: a million blocked names, one a line.

use crate::{
    Host, HostPattern, HostScope, PatternError,
    host::is_plainly_canonical,
    matcher::{Kind, ListedName},
};
use std::net::IpAddr;

/// One word of a list.
pub(super) struct ListEntry<'a> {
    pub(super) text: &'a str,
    /// Where it stands, in bytes.
    pub(super) offset: usize,
    pub(super) line: u32,
    pub(super) meaning: Meaning,
}

/// What a word of a list means.
pub(super) enum Meaning {
    /// A canonical name.
    Name(ListedName),
    /// Something that needs rules of its own: a port, an address, a name in Unicode.
    Patterns(Vec<HostPattern>),
    /// No pattern.
    Bad,
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
pub(super) fn each_entry<'t>(text: &'t str, mut visit: impl FnMut(ListEntry<'t>)) {
    let mut line_start = 0;
    for (line, number) in text.split('\n').zip(1..) {
        let start = line_start;
        line_start += line.len() + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut add = |text: &'t str, offset, meaning| {
            visit(ListEntry {
                text,
                offset,
                line: number,
                meaning,
            })
        };
        if let Some((skipped, word, name)) = plain_line(line, start) {
            add(word, start + skipped, Meaning::Name(name));
            continue;
        }
        for word in words(line) {
            let offset = start + (word.as_ptr() as usize - line.as_ptr() as usize);
            add(word, offset, meaning(word, offset));
        }
    }
}

/// The one name of a line that is nothing else but, maybe, a hosts file's usual address before it. Such are most
/// lines of most lists, and are read without being cut up. With the name comes the word that it stands in.
fn plain_line(line: &str, start: usize) -> Option<(usize, &str, ListedName)> {
    let hosts = ["0.0.0.0 ", "127.0.0.1 "];
    let skipped = match line.as_bytes().first() {
        Some(b'0' | b'1') => hosts.iter().find(|prefix| line.starts_with(**prefix)),
        _ => None,
    };
    let skipped = skipped.map_or(0, |prefix| prefix.len());
    let word = line.get(skipped..)?;
    let name = plain_name(word, start + skipped)?;
    let own = skipped > 0 && HOSTS_FILE_OWN.contains(&word);
    (!own).then_some((skipped, word, name))
}

/// The canonical name that a word is.
fn plain_name(word: &str, offset: usize) -> Option<ListedName> {
    let (mark, kind) = mark(word);
    let name = unmarked(word, mark);
    let offset = u32::try_from(offset + mark).ok()?;
    let len = u8::try_from(name.len()).ok()?;
    is_plainly_canonical(name).then_some(ListedName { offset, len, kind })
}

/// How long the mark before a name is, and what it says.
fn mark(word: &str) -> (usize, Kind) {
    match word.as_bytes() {
        [b'*', b'.', ..] => (2, Kind::Below),
        [b'|', b'|', ..] => (2, Kind::Both),
        [b'.', ..] => (1, Kind::Both),
        _ => (0, Kind::Exact),
    }
}

fn unmarked(word: &str, mark: usize) -> &str {
    let name = word.get(mark..).unwrap_or("");
    match word.starts_with("||") {
        true => name.strip_suffix('^').unwrap_or(name),
        false => name,
    }
}

/// The patterns on a line of a list.
pub(crate) fn listed_patterns(line: &str) -> Vec<HostPattern> {
    let mut found = Vec::new();
    each_entry(line, |entry| match entry.meaning {
        Meaning::Patterns(patterns) => found.extend(patterns),
        Meaning::Name(name) => found.extend(patterns(name.of(line), name.kind).unwrap_or_default()),
        Meaning::Bad => {}
    });
    found
}

/// The names on a line, without comments and without a hosts file's address.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let line = match line.trim_start().starts_with(['!', '[']) {
        // Adblock's comments and header. An IPv6 literal starts with a bracket too, but has a closing one.
        true if !line.contains(':') => "",
        true | false => line.split('#').next().unwrap_or(""),
    };
    let mut words = line.split_ascii_whitespace().peekable();
    let hosts = words.peek().is_some_and(|word| is_addr(word)) && words.clone().nth(1).is_some();
    words
        .skip(usize::from(hosts))
        .filter(move |word| !hosts || !HOSTS_FILE_OWN.contains(word))
}

/// Whether a word is an address. Most are names, which the first byte tells without parsing.
fn is_addr(word: &str) -> bool {
    let may_be = word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':');
    may_be && word.parse::<IpAddr>().is_ok()
}

pub(super) fn meaning(word: &str, offset: usize) -> Meaning {
    if let Some(name) = plain_name(word, offset) {
        return Meaning::Name(name);
    }
    let (mark, kind) = mark(word);
    patterns(unmarked(word, mark), kind).map_or(Meaning::Bad, Meaning::Patterns)
}

fn patterns(name: &str, kind: Kind) -> Result<Vec<HostPattern>, PatternError> {
    let pattern = HostPattern::parse(name)?;
    let below = match &pattern.scope {
        HostScope::Exact(Host::Name(name)) => Some(HostPattern {
            scope: HostScope::Below(name.clone()),
            ports: pattern.ports,
        }),
        HostScope::Exact(Host::Addr(_)) | HostScope::Below(_) | HostScope::Any => None,
    };
    match (kind, below) {
        (Kind::Below, Some(below)) => Ok(vec![below]),
        (Kind::Both, Some(below)) => Ok(vec![below, pattern]),
        // Names alone have something below them.
        (Kind::Below | Kind::Both, None) => Err(PatternError::WildAddr { text: name.into() }),
        (Kind::Exact | Kind::Place, _) => Ok(vec![pattern]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_format_is_read() {
        let rows: &[(&str, &[&str])] = &[
            ("a.test", &["1 a.test"]),
            ("  *.a.test:443  # why", &["1 *.a.test:443 apart"]),
            ("*.a.test", &["1 *.a.test"]),
            ("# all comment", &[]),
            ("! adblock comment", &[]),
            ("[Adblock Plus]", &[]),
            ("", &[]),
            ("0.0.0.0 a.test b.test", &["1 a.test", "1 b.test"]),
            ("127.0.0.1\tlocalhost", &[]),
            ("::1 localhost ip6-loopback", &[]),
            ("0.0.0.0 a.test", &["1 a.test"]),
            ("0.0.0.0 0.0.0.0", &[]),
            ("0.0.0.0 localhost.localdomain\r\n", &[]),
            ("127.0.0.1 .a.test", &["1 a.test and below"]),
            ("1.a.test", &["1 1.a.test"]),
            ("192.0.2.1", &["1 192.0.2.1 apart"]),
            ("A.test", &["1 a.test apart"]),
            ("bücher.test", &["1 xn--bcher-kva.test apart"]),
            (".a.test", &["1 a.test and below"]),
            ("||a.test^", &["1 a.test and below"]),
            ("||A.test^", &["1 *.a.test apart", "1 a.test apart"]),
            ("*.A.test", &["1 *.a.test apart"]),
            ("a.test\r\nb.test", &["1 a.test", "2 b.test"]),
            ("||a.test^$third-party", &["1 !"]),
            ("a b_c", &["1 a", "1 !"]),
            ("host.docker.internal", &["1 !"]),
            ("*.1.2.3.4", &["1 !"]),
            ("*", &["1 * apart"]),
            ("*.", &["1 !"]),
            ("||", &["1 !"]),
            ("*.*.a.test", &["1 !"]),
        ];
        for (text, expected) in rows {
            let mut found = Vec::new();
            each_entry(text, |entry| found.extend(shown(text, &entry)));
            assert_eq!(&found, expected, "{text:?}");
        }
    }

    fn shown(text: &str, entry: &ListEntry<'_>) -> Vec<String> {
        let line = entry.line;
        assert!(text[entry.offset..].starts_with(entry.text));
        match &entry.meaning {
            Meaning::Name(listed) => {
                let name = listed.of(text);
                vec![match listed.kind {
                    Kind::Below => format!("{line} *.{name}"),
                    Kind::Both => format!("{line} {name} and below"),
                    Kind::Exact | Kind::Place => format!("{line} {name}"),
                }]
            }
            Meaning::Patterns(patterns) => patterns
                .iter()
                .map(|p| format!("{line} {p} apart"))
                .collect(),
            Meaning::Bad => vec![format!("{line} !")],
        }
    }
}
