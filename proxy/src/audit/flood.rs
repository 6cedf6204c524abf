//! A bound on the lines about what is refused. A guest that asks without end for what it may not have would otherwise
//! push what it did before out of the log.

use std::time::{Duration, Instant};

use super::{Action, Event, Kind, LOG_FULL};

/// Refusals at once that have a line each.
const BURST: u32 = 1000;

/// And how often there is one after that.
const INTERVAL: Duration = Duration::from_millis(100);

/// For how long the others are gathered into one line.
pub(crate) const GATHERING: Duration = Duration::from_secs(1);

/// The refusals under one policy. What was let through always has its own line, and is no matter of this.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// When there is room for a whole burst again (the generic cell rate algorithm).
    full_again: Option<Instant>,
    gathered: Option<Box<Event>>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It has its own.
    Own,
    /// It is the first of those that will share one, which is to be taken when [`GATHERING`] is over.
    First,
    /// It shares one with others.
    Shared,
}

impl Flood {
    /// Decides on `event`, and gathers it if it has no line of its own.
    pub(crate) fn line(&mut self, event: &Event, now: Instant) -> Line {
        // What is refused for want of a log has its own way of not filling it.
        let counts = event.action == Action::Denied && event.reason.as_deref() != Some(LOG_FULL);
        if !counts || self.has_room(now) {
            return Line::Own;
        }
        if let Some(gathered) = &mut self.gathered {
            join(gathered, event);
            return Line::Shared;
        }
        self.gathered = Some(Box::new(shared(event)));
        Line::First
    }

    /// The line that many share.
    pub(crate) fn take(&mut self) -> Option<Box<Event>> {
        self.gathered.take()
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let next = self.full_again.unwrap_or(now).max(now) + INTERVAL;
        let room = next <= now + INTERVAL * BURST;
        if room {
            self.full_again = Some(next);
        }
        room
    }
}

/// A line that begins with `event`, without what is about that one alone.
fn shared(event: &Event) -> Event {
    Event {
        address: None,
        via: None,
        by_name: false,
        credential: None,
        first_byte_ms: None,
        duration_ms: 0,
        message: Some("more was refused than has a line each".to_owned()),
        ..event.clone()
    }
}

/// Counts `event` in `line`, where what they have in common stays.
fn join(line: &mut Event, event: &Event) {
    line.count = line.count.saturating_add(event.count);
    line.bytes_up += event.bytes_up;
    line.bytes_down += event.bytes_down;
    line.generation = line.generation.max(event.generation);
    if line.kind != event.kind {
        line.kind = Kind::Request;
    }
    let texts = [
        (&mut line.method, &event.method),
        (&mut line.url, &event.url),
    ];
    for (common, own) in texts {
        if common != own {
            common.clear();
        }
    }
    keep(&mut line.target, &event.target);
    keep(&mut line.rule, &event.rule);
    keep(&mut line.reason, &event.reason);
    keep(&mut line.carriage, &event.carriage);
    keep(&mut line.stage, &event.stage);
    keep(&mut line.status, &event.status);
}

fn keep<T: PartialEq>(common: &mut Option<T>, own: &Option<T>) {
    if common != own {
        *common = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, target: &str, reason: &str) -> Event {
        let json = format!(
            r#"{{"timestamp":"2026-01-29T10:15:23Z","sandbox":"s","type":"request","method":"GET",
                "url":"http://{target}/","action":"{action}","target":"{target}:80","reason":"{reason}",
                "status":403,"bytes_down":7,"address":"127.0.0.1:80"}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn denied(target: &str) -> Event {
        event("denied", target, "default")
    }

    #[test]
    fn a_burst_and_then_a_rate_have_lines_of_their_own() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        let burst = (0..BURST).map(|_| flood.line(&denied("a"), start));
        assert!(
            burst
                .collect::<Vec<_>>()
                .iter()
                .all(|line| *line == Line::Own)
        );
        // Milliseconds after the start, an event, and its line.
        let full = event("denied", "a", LOG_FULL);
        let rows = [
            (0, denied("a"), Line::First),
            (0, denied("a"), Line::Shared),
            (0, event("allowed", "a", "client-abort"), Line::Own),
            (0, full, Line::Own),
            (99, denied("a"), Line::Shared),
            (100, denied("a"), Line::Own),
            (101, denied("a"), Line::Shared),
            (400, denied("a"), Line::Own),
            (400, denied("a"), Line::Own),
            (400, denied("a"), Line::Own),
            (400, denied("a"), Line::Shared),
        ];
        for (row, (at, event, line)) in rows.into_iter().enumerate() {
            let at = start + Duration::from_millis(at);
            assert_eq!(flood.line(&event, at), line, "row {row}");
        }
        let line = flood.take().unwrap();
        assert_eq!((line.count, line.bytes_down), (5, 35));
        assert_eq!(flood.take(), None);
        assert_eq!(flood.line(&denied("a"), start), Line::First);
    }

    #[test]
    fn what_they_have_in_common_stays() {
        let rows = [
            (
                vec![denied("a"), denied("a")],
                "request GET http://a/ denied (2 times)",
                Some("a:80"),
                Some("default"),
            ),
            (
                vec![denied("a"), denied("b"), denied("a")],
                "request GET denied (3 times)",
                None,
                Some("default"),
            ),
            (
                vec![denied("a"), event("denied", "a", "limit")],
                "request GET http://a/ denied (2 times)",
                Some("a:80"),
                None,
            ),
        ];
        for (events, shown, target, reason) in rows {
            let mut line = shared(&events[0]);
            for event in &events[1..] {
                join(&mut line, event);
            }
            assert!(line.to_string().ends_with(shown), "{line}");
            assert_eq!(
                (line.target.as_deref(), line.reason.as_deref(), line.status),
                (target, reason, Some(403))
            );
            assert_eq!(line.address, None);
            let json = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), line);
        }
    }
}
