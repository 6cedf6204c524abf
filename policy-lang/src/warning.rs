//! What is odd in a policy that was accepted.

use crate::{HostPattern, Position, quote::Quoted};
use std::{fmt, sync::Arc};

/// Something odd in a file that was accepted. Displays as `source:line:column: warning: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file's name as the caller gave it.
    pub source_name: Arc<str>,
    /// Where.
    pub at: Position,
    /// What.
    pub kind: WarningKind,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: warning: {}",
            self.source_name, self.at, self.kind
        )
    }
}

/// What can be odd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WarningKind {
    /// A key we do not know; it is kept and has no effect.
    #[error("key {} is unknown and has no effect", Quoted(.key))]
    UnknownKey {
        /// The key, dotted.
        key: Box<str>,
    },
    /// No `policy` key.
    #[error("no `policy` key: what no rule allows is denied")]
    NoPolicy,
    /// One pattern allowed and blocked.
    #[error("`{pattern}` is both allowed and blocked; the block wins")]
    Contradiction {
        /// The pattern.
        pattern: Box<HostPattern>,
    },
    /// A network written with host bits.
    #[error("network {} is read as `{net}`", Quoted(.text))]
    HostBits {
        /// As written.
        text: Box<str>,
        /// As read.
        net: Box<str>,
    },
    /// A line of a list that is no pattern; it has no effect.
    #[error("{} is not a host pattern and has no effect", Quoted(.text))]
    BadListEntry {
        /// As written.
        text: Box<str>,
    },
    /// More such lines.
    #[error("{count} more lines are not host patterns and have no effect")]
    MoreBadListEntries {
        /// How many.
        count: usize,
    },
    /// A set that no rule uses.
    #[error("set `{name}` is not used")]
    UnusedSet {
        /// Its name.
        name: Box<str>,
    },
    /// The same entry twice in one list.
    #[error("{} stands twice in this list", Quoted(.text))]
    DuplicateEntry {
        /// As written.
        text: Box<str>,
    },
}
