//! What is said about admitted traffic beyond yes and no: how often, how much, and with which credential.

use super::{in_quotes::InQuotes, span::Spanned};
use crate::{HostPattern, PathPattern};
use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LimitItem {
    pub(crate) pattern: Spanned<HostPattern>,
    pub(crate) rate: Rate,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BudgetItem {
    pub(crate) pattern: Spanned<HostPattern>,
    pub(crate) allowance: Allowance,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InjectItem {
    pub(crate) pattern: Spanned<HostPattern>,
    pub(crate) credential: Credential,
}

/// How many requests may be made, on average and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rate {
    /// Requests in each unit of time.
    pub requests: u32,
    /// The unit.
    pub per: Unit,
    /// Requests at once after a pause; `None` is as many as `requests`.
    pub burst: Option<u32>,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// `/s`
    Second,
    /// `/m`
    Minute,
    /// `/h`
    Hour,
    /// `/d`
    Day,
}

impl Unit {
    /// Its length in seconds.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }
}

/// What hosts may use up in a window of time. The window begins with its first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Allowance {
    /// Bytes.
    Bytes(ByteBudget),
    /// Different names that the pattern covers: what an exfiltration by name needs many of.
    Names {
        /// How many.
        count: u32,
        /// The window.
        per: Unit,
    },
}

/// Bytes of bodies and tunnels in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteBudget {
    /// How many.
    pub bytes: u64,
    /// The window.
    pub per: Unit,
    /// Which of them count.
    pub way: Way,
}

/// The direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// Both, added up.
    Both,
    /// Towards the host.
    Up,
    /// From the host.
    Down,
}

/// A part of requests whose value the guest never sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Credential {
    /// Where it stands in a request.
    pub place: Placement,
    /// Where the secret comes from.
    pub from: SecretSource,
    /// The value with `%s` where the secret goes; `None` is the secret alone.
    pub format: Option<Box<str>>,
    /// The requests it is set on; `None` is all.
    pub path: Option<PathPattern>,
    /// How often it may be used.
    pub limit: Option<Rate>,
    /// How many bytes may pass with it.
    pub budget: Option<ByteBudget>,
}

/// The part of a request that carries a credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Placement {
    /// A header, by its name in lower case.
    Header(Box<str>),
    /// A parameter of the query.
    Query(Box<str>),
    /// A field of a form in the body (`application/x-www-form-urlencoded`).
    Form(Box<str>),
}

impl Placement {
    /// The name of the header, parameter or field.
    pub fn name(&self) -> &str {
        match self {
            Self::Header(name) | Self::Query(name) | Self::Form(name) => name,
        }
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretSource {
    /// A variable of the caller's environment.
    Env(Box<str>),
    /// A file.
    File(Box<str>),
    /// What a command prints.
    Command(Box<str>),
    /// An entry of the desktop keyring.
    Keyring(Box<str>),
    /// A file with a refresh token, for which access tokens are fetched (RFC 6749 §6).
    OAuth(Box<str>),
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.per)?;
        match self.burst {
            Some(burst) => write!(f, " burst {burst}"),
            None => Ok(()),
        }
    }
}

/// Sizes that can be written, the one to prefer first.
pub(super) const SIZES: [(&str, u64); 7] = [
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl fmt::Display for ByteBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZES
            .iter()
            .find(|(_, size)| self.bytes.is_multiple_of(*size));
        let (name, size) = whole.copied().unwrap_or(("B", 1));
        write!(f, "{}{name}/{}", self.bytes / size, self.per)?;
        f.write_str(match self.way {
            Way::Both => "",
            Way::Up => " up",
            Way::Down => " down",
        })
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Names { count, per } => write!(f, "{count} names/{per}"),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => f.write_str(name),
            Self::Query(name) => write!(f, "query {}", InQuotes(name)),
            Self::Form(name) => write!(f, "form {}", InQuotes(name)),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(name) => write!(f, "file {}", InQuotes(name)),
            Self::Command(line) => write!(f, "command {}", InQuotes(line)),
            Self::Keyring(entry) => write!(f, "keyring {}", InQuotes(entry)),
            Self::OAuth(name) => write!(f, "oauth {}", InQuotes(name)),
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.place, self.from)?;
        if let Some(format) = &self.format {
            write!(f, " as {}", InQuotes(format))?;
        }
        if let Some(path) = &self.path {
            write!(f, " on {path}")?;
        }
        if let Some(limit) = &self.limit {
            write!(f, " limit {limit}")?;
        }
        match &self.budget {
            Some(budget) => write!(f, " budget {budget}"),
            None => Ok(()),
        }
    }
}
