//! One line of the log.

use std::fmt;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What happened to one request, tunnel or configuration file.
///
/// The keys `timestamp`, `sandbox`, `type`, `method`, `url` and `action` are the ones Docker's log has; the others are ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it began, UTC.
    pub timestamp: Timestamp,
    /// Name of the sandbox.
    pub sandbox: String,
    /// What this line is about.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Request method; `CONNECT` for a tunnel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Scheme, host and path. Never the query or user information: they may hold secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// What the policy said.
    pub action: Action,
    /// Canonical `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The address that was dialled, or that a parent proxy was asked for. None where the parent resolved the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The parent proxy that was asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The parent was asked for the name, and so chose the address. Where `address` is set, that one was judged here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_name: bool,
    /// The rule that decided; none when the default did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// Stable word for what decided or went wrong, as in the `x-sandbox-reason` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of the policy that decided; it grows with every change.
    #[serde(default)]
    pub generation: u64,
    /// How the bytes travelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carriage: Option<Carriage>,
    /// The header in which a credential of the policy was set. Never the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// How far it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Body bytes towards the origin.
    #[serde(default)]
    pub bytes_up: u64,
    /// Body bytes towards the client.
    #[serde(default)]
    pub bytes_down: u64,
    /// Milliseconds from the request to the head of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// Milliseconds from beginning to end.
    #[serde(default)]
    pub duration_ms: u64,
    /// How many requests the line stands for. More than one only where more was refused than has a line each; it then
    /// says what those have in common.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// A sentence for people, where a word is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Ties the line to all before it; set by the log. See [`super::Verifier`].
    #[serde(default, skip_serializing)]
    pub chain: Option<String>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One HTTP request, or a `CONNECT` that was refused or brought none.
    Request,
    /// A connection passed on unread.
    Tunnel,
    /// The policy file was read.
    Config,
}

/// What the policy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Let pass. Whether it also worked is in `status` and `reason`.
    Allowed,
    /// Refused.
    Denied,
}

/// How the bytes travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carriage {
    /// Unencrypted HTTP.
    Plain,
    /// TLS ended here and made anew.
    Intercept,
    /// Passed on unread.
    Bypass,
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading it.
    Parse,
    /// Judging host and port.
    Host,
    /// Asking for addresses.
    Resolve,
    /// Judging addresses.
    Address,
    /// TLS with the client.
    Client,
    /// Connecting.
    Dial,
    /// TLS with the origin.
    Handshake,
    /// Waiting for the answer's head.
    Answer,
    /// Passing bytes on.
    Relay,
    /// All of it.
    Done,
}

/// The rule behind a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// The rule in the policy language.
    pub text: String,
    /// The file it stands in; `built in` if in none.
    pub source: String,
    /// Line in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// Docker's line format: `2026-01-29T10:15:23Z sandbox=my-sandbox request GET https://api.example.com/data allowed`.
///
/// What a guest wrote was made harmless when the event was, so a line can be shown on a terminal.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ");
        write!(f, "{seconds} sandbox={} {}", self.sandbox, self.kind)?;
        for part in [&self.method, &self.url] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        match (&self.kind, &self.message) {
            (Kind::Config, Some(message)) => write!(f, " {message}"),
            _ if self.count > 1 => write!(f, " {} ({} times)", self.action, self.count),
            _ => write!(f, " {}", self.action),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Tunnel => "tunnel",
            Self::Config => "config",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-01-29T10:15:23.5Z","sandbox":"my-sandbox","type":"request","method":"GET","url":"https://api.example.com/data","action":"allowed"}"#;

    #[test]
    fn dockers_line() {
        let event: Event = serde_json::from_str(LINE).unwrap();
        let line = "2026-01-29T10:15:23Z sandbox=my-sandbox request GET https://api.example.com/data allowed";
        assert_eq!(event.to_string(), line);
    }

    #[test]
    fn json_there_and_back() {
        let mut event: Event = serde_json::from_str(LINE).unwrap();
        event.kind = Kind::Tunnel;
        event.action = Action::Denied;
        event.rule = Some(RuleRef {
            text: "block x".into(),
            source: "proxy-config.json".into(),
            line: Some(3),
        });
        event.address = Some("[::1]:443".parse().unwrap());
        event.stage = Some(Stage::Address);
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
        let order = ["timestamp", "sandbox", "type", "method", "url", "action"]
            .map(|key| json.find(key).unwrap());
        assert!(order.is_sorted(), "{json}");
    }
}
