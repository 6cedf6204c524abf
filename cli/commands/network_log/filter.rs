//! Which entries are shown.

use jiff::{Span, Timestamp};
use policy_lang::{HostPattern, Target};
use proxy::audit::{Action, Event};

use crate::args::{NetworkLogArgs, Verdict};
use crate::report::{Failure, USAGE};

/// All that is asked of an entry.
pub(super) struct Filter {
    hosts: Vec<HostPattern>,
    verdict: Option<Action>,
    rule: Option<String>,
    methods: Vec<String>,
    /// First and last status.
    statuses: Option<(u16, u16)>,
    since: Option<Timestamp>,
}

impl Filter {
    pub(super) fn new(args: &NetworkLogArgs) -> Result<Self, Failure> {
        let hosts = args.host.iter().map(|text| {
            let pattern = HostPattern::parse(text);
            pattern.map_err(|error| usage("--host", text).help(error.help()))
        });
        Ok(Self {
            hosts: hosts.collect::<Result<_, _>>()?,
            verdict: args.verdict.map(|verdict| match verdict {
                Verdict::Allowed => Action::Allowed,
                Verdict::Denied => Action::Denied,
            }),
            rule: args.rule.clone(),
            methods: args.method.iter().map(|m| m.to_ascii_uppercase()).collect(),
            statuses: args.status.as_deref().map(statuses).transpose()?,
            since: args
                .since
                .as_deref()
                .map(|text| since(text, Timestamp::now()))
                .transpose()?,
        })
    }

    pub(super) fn lets(&self, event: &Event) -> bool {
        let target = || Target::parse(event.target.as_deref()?, None).ok();
        let host = self.hosts.is_empty()
            || target().is_some_and(|target| self.hosts.iter().any(|host| host.covers(&target)));
        let rule = self.rule.as_ref().is_none_or(|wanted| {
            let reason = event.reason.as_deref();
            let text = event.rule.as_ref().map(|rule| rule.text.as_str());
            [reason, text]
                .into_iter()
                .flatten()
                .any(|text| text.contains(wanted.as_str()))
        });
        let status = self.statuses.is_none_or(|(first, last)| {
            event
                .status
                .is_some_and(|status| (first..=last).contains(&status))
        });
        host && rule
            && status
            && self.verdict.is_none_or(|verdict| verdict == event.action)
            && (self.methods.is_empty() || self.methods.contains(&event.method))
            && self.since.is_none_or(|since| event.timestamp >= since)
    }
}

fn usage(flag: &str, text: &str) -> Failure {
    Failure::new(format!("{flag} `{text}` cannot be understood")).code(USAGE)
}

/// `404`, or `4xx` for all of a class.
fn statuses(text: &str) -> Result<(u16, u16), Failure> {
    let bad =
        || usage("--status", text).help("write a status such as `403`, or a class such as `4xx`");
    let lower = text.to_ascii_lowercase();
    let found = match lower.strip_suffix("xx") {
        Some(class) => class
            .parse()
            .ok()
            .map(|class: u16| (class * 100, class * 100 + 99)),
        None => lower.parse().ok().map(|status: u16| (status, status)),
    };
    found
        .filter(|(first, _)| (100..=599).contains(first))
        .ok_or_else(bad)
}

/// A time, or how long ago.
fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let bad = || {
        usage("--since", text)
            .help("write `10m`, `2h`, `3d`, or a time such as `2026-01-29T10:00:00Z`")
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
    let count: i64 = count
        .parse()
        .ok()
        .filter(|count| *count <= 100_000)
        .ok_or_else(bad)?;
    let span = match unit {
        "s" => Span::new().seconds(count),
        "m" => Span::new().minutes(count),
        "h" => Span::new().hours(count),
        "d" => Span::new().hours(24 * count),
        _ => return Err(bad()),
    };
    now.checked_sub(span).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flags_mean() {
        let now: Timestamp = "2026-01-29T10:00:00Z".parse().unwrap();
        let rows = [
            ("90s", Some("2026-01-29T09:58:30Z")),
            ("10m", Some("2026-01-29T09:50:00Z")),
            ("2h", Some("2026-01-29T08:00:00Z")),
            ("1d", Some("2026-01-28T10:00:00Z")),
            ("2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z")),
            ("yesterday", None),
            ("10", None),
            ("-1h", None),
        ];
        for (text, expected) in rows {
            let found = since(text, now).ok().map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let rows = [
            ("403", Some((403, 403))),
            ("4XX", Some((400, 499))),
            ("4x", None),
            ("999", None),
            ("xx", None),
        ];
        for (text, expected) in rows {
            assert_eq!(statuses(text).ok(), expected, "{text}");
        }
    }
}
