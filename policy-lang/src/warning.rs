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
    /// A wildcard over a top-level domain in a list.
    #[error("{} covers a whole top-level domain", Quoted(.text))]
    ListedTopLevel {
        /// As written.
        text: Box<str>,
    },
    /// More such lines.
    #[error("{count} more lines are not host patterns and have no effect")]
    MoreBadListEntries {
        /// How many.
        count: usize,
    },
    /// A rule that stands elsewhere too.
    #[error("the same stands at {first}")]
    Repeated {
        /// Where.
        first: Box<str>,
    },
    /// A wildcard over a top-level domain.
    #[error("`{pattern}` covers a whole top-level domain")]
    TopLevel {
        /// The pattern.
        pattern: Box<HostPattern>,
    },
    /// An allow of everything under default deny.
    #[error("`{pattern}` allows every host, so the default deny has little effect")]
    AllowsEverything {
        /// The pattern.
        pattern: Box<HostPattern>,
    },
    /// A rule whose targets a wider rule treats alike.
    #[error("has no effect beside the wider rule `{by}`")]
    Covered {
        /// The wider rule.
        by: Box<str>,
    },
    /// A rule that says what the default says.
    #[error("has no effect: the default says the same")]
    SaysTheDefault,
    /// An allowed network within no blocked one.
    #[error("lifts no block: no blocked network overlaps it")]
    LiftsNothing,
    /// A bypass of hosts that are refused.
    #[error("bypasses what no rule allows; a bypass grants nothing")]
    BypassNotAllowed,
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
