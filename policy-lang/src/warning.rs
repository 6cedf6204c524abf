//! What is odd in a policy that was accepted.

use crate::{HostPattern, Net, Position, quote::Quoted};
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

/// Why lifting the block of a network opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VainLift {
    /// This machine is reached by host and port alone.
    ThisMachine,
    /// A cloud's metadata service is reached by its address alone.
    Metadata,
    /// Rules about networks are for names that a wildcard or the default allows, and there are none.
    NoName,
}

impl fmt::Display for VainLift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisMachine => "this machine is reached only by a rule that names host and port",
            Self::Metadata => "cloud metadata is reached only by a rule that is the address itself",
            Self::NoName => "no name that is allowed can lead there",
        })
    }
}

impl VainLift {
    fn help(self) -> &'static str {
        match self {
            Self::ThisMachine => "write a rule such as `allow localhost:8080`",
            Self::Metadata => "write a rule such as `allow 169.254.169.254:80`",
            Self::NoName => {
                "allow a host: an exact name is allowed with every address it has, a wildcard needs the lift"
            }
        }
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
    /// A top-level domain by itself, in a rule or a list.
    #[error("{} is a top-level domain and covers no name below it", Quoted(.text))]
    BareTopLevel {
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
    /// A wildcard over a name under which anybody can register.
    #[error("`{pattern}` covers everything below the public suffix `{suffix}`")]
    PublicSuffix {
        /// The pattern.
        pattern: Box<HostPattern>,
        /// The suffix.
        suffix: Box<str>,
    },
    /// The same in a list that allows or bypasses.
    #[error("{} covers everything below a public suffix", Quoted(.text))]
    ListedPublicSuffix {
        /// As written.
        text: Box<str>,
    },
    /// A rule all of whose ports narrower rules cover.
    #[error("never decides: narrower rules for `{scope}` cover all its ports")]
    Unreachable {
        /// The hosts.
        scope: Box<str>,
    },
    /// A lifted network that no name can lead to.
    #[error("network `{net}` is lifted in vain: {why}")]
    LiftsInVain {
        /// The network.
        net: Net,
        /// Why.
        why: VainLift,
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

impl WarningKind {
    /// Whether the author relies on something that cannot be: `sandbox policy check` fails on it. The proxy takes
    /// the file all the same, because such a rule opens nothing.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::LiftsInVain { .. })
    }

    /// What to write instead.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { .. } => {
                "see `sandbox policy schema` for the keys that have a meaning".into()
            }
            Self::NoPolicy => "write `\"policy\": \"deny\"` or `\"allow\"`".into(),
            Self::Contradiction { .. } => "remove one of the two".into(),
            Self::HostBits { net, .. } => format!("write `{net}`"),
            Self::BadListEntry { .. } | Self::MoreBadListEntries { .. } => {
                "a list holds a name a line, a hosts file, or Adblock's `||name^`".into()
            }
            Self::ListedTopLevel { .. } | Self::TopLevel { .. } | Self::BareTopLevel { .. } => {
                "name the domains that are meant".into()
            }
            Self::PublicSuffix { suffix, .. } => {
                format!("anybody can have a name below `{suffix}`; name the ones that are meant")
            }
            Self::ListedPublicSuffix { .. } => {
                "anybody can have a name below it; name the ones that are meant".into()
            }
            Self::Repeated { .. } | Self::DuplicateEntry { .. } => "remove one of them".into(),
            Self::AllowsEverything { .. } => {
                "write `default allow` if that is meant, or name the hosts".into()
            }
            Self::Covered { .. } | Self::SaysTheDefault | Self::Unreachable { .. } => {
                "remove it, or write what it should change".into()
            }
            Self::LiftsNothing => "remove it: only blocked networks need a lift".into(),
            Self::LiftsInVain { why, .. } => why.help().into(),
            Self::BypassNotAllowed => "allow the host, too".into(),
            Self::UnusedSet { name } => format!("use it as `${name}`, or remove it"),
        })
    }
}
