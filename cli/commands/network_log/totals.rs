//! Entries counted by sandbox, host and rule.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;

use jiff::Timestamp;
use proxy::audit::{Action, Carriage, Event};
use serde::Serialize;
use tabwriter::TabWriter;

/// What was refused, and what was let through; the most frequent first.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    blocked: Vec<Total>,
    allowed: Vec<Total>,
}

#[derive(Debug, Clone, Serialize)]
struct Total {
    sandbox: String,
    #[serde(rename = "type")]
    kind: String,
    host: String,
    proxy: &'static str,
    rule: String,
    reason: String,
    last_seen: Timestamp,
    count: u64,
}

impl Totals {
    pub(super) fn of(events: &[Event]) -> Self {
        let mut totals: HashMap<_, Total> = HashMap::new();
        for event in events {
            let one = Total::of(event);
            let key = (
                event.action == Action::Denied,
                one.sandbox.clone(),
                one.kind.clone(),
                one.host.clone(),
                (one.proxy, one.rule.clone(), one.reason.clone()),
            );
            let total = totals
                .entry(key)
                .or_insert_with(|| Total { count: 0, ..one });
            total.count += u64::from(event.count);
            total.last_seen = total.last_seen.max(event.timestamp);
        }
        let mut split = Self::default();
        for ((denied, ..), total) in totals {
            let side = if denied {
                &mut split.blocked
            } else {
                &mut split.allowed
            };
            side.push(total);
        }
        for side in [&mut split.blocked, &mut split.allowed] {
            side.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.host.cmp(&b.host)));
        }
        split
    }
}

impl Total {
    fn of(event: &Event) -> Self {
        Self {
            sandbox: event.sandbox.clone(),
            kind: event.kind.to_string(),
            host: event.target.clone().unwrap_or_else(|| "-".into()),
            proxy: match event.carriage {
                Some(Carriage::Bypass) => "forward-bypass",
                Some(Carriage::Plain | Carriage::Intercept) => "forward",
                None => "-",
            },
            rule: event
                .rule
                .as_ref()
                .map_or("-".into(), |rule| rule.text.clone()),
            reason: event.reason.clone().unwrap_or_else(|| "-".into()),
            last_seen: event.timestamp,
            count: 1,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, side) in [("Blocked", &self.blocked), ("Allowed", &self.allowed)] {
            if side.is_empty() {
                continue;
            }
            writeln!(f, "{title} requests:")?;
            let table = table(side).map_err(|_| fmt::Error)?;
            writeln!(f, "{table}")?;
        }
        Ok(())
    }
}

fn table(side: &[Total]) -> std::io::Result<String> {
    let mut table = TabWriter::new(Vec::new()).padding(3);
    writeln!(
        table,
        "SANDBOX\tTYPE\tHOST\tPROXY\tRULE\tREASON\tLAST SEEN\tCOUNT"
    )?;
    for total in side {
        let seen = total.last_seen.strftime("%Y-%m-%dT%H:%M:%SZ");
        writeln!(
            table,
            "{}\t{}\t{}\t{}\t{}\t{}\t{seen}\t{}",
            total.sandbox,
            total.kind,
            total.host,
            total.proxy,
            total.rule,
            total.reason,
            total.count
        )?;
    }
    let bytes = table
        .into_inner()
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
