//! The rules of a policy, as written and as meant.

use crate::{Action, HostPattern, Net, Position, RequestPattern, language::HostText};
use std::{fmt, sync::Arc};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The pattern or network as it was written.
    pub text: Box<str>,
    /// What it does.
    pub effect: Effect,
    /// Who wrote it.
    pub origin: Origin,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Allows or blocks hosts.
    Host(Action, HostPattern),
    /// Allows or blocks some requests to hosts.
    Request(Action, HostPattern, RequestPattern),
    /// Blocks addresses, or lifts a block.
    Net(Action, Net),
    /// Tunnels hosts unread.
    BypassHost(HostPattern),
    /// Tunnels addresses unread.
    BypassNet(Net),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(action, pattern) => write!(f, "{} {}", verb(*action), HostText(pattern)),
            Self::Request(action, pattern, request) => {
                write!(f, "{} {} {request}", verb(*action), HostText(pattern))
            }
            Self::Net(action, net) => write!(f, "{} net {net}", verb(*action)),
            Self::BypassHost(pattern) => write!(f, "bypass {}", HostText(pattern)),
            Self::BypassNet(net) => write!(f, "bypass net {net}"),
        }
    }
}

/// The word of the language for a rule with this verdict.
fn verb(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "block",
    }
}

/// Who wrote a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: it holds in every policy.
    BuiltIn,
    /// It stands in a file.
    File {
        /// The file's name as the caller gave it.
        source: Arc<str>,
        /// Where in the file.
        at: Position,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File { source, at } => write!(f, "{source}:{at}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.effect, self.origin)
    }
}

impl Origin {
    /// The line, where there is one.
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::BuiltIn => None,
            Self::File { at, .. } => Some(at.line),
        }
    }
}
