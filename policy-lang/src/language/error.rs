//! What is wrong with a file of the language, and where.

use crate::{
    HostPattern, NetError, Origin, PathError, PatternError, Position, TargetError, quote::Quoted,
    snippet::Snippet,
};
use std::sync::Arc;

use super::token::is_name;

/// Why a file was refused. Displays as `source:line:column: problem`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}:{at}: {problem}")]
pub struct Error {
    /// The file's name as the caller gave it.
    pub source_name: Arc<str>,
    /// Where it starts.
    pub at: Position,
    /// How many characters show it; 0 if something is missing there.
    pub chars: usize,
    /// What.
    pub problem: Problem,
}

impl Error {
    /// What to write instead.
    pub fn help(&self) -> Option<String> {
        self.problem.help()
    }

    /// The error with the line it is about, marked, for a terminal. `text` is the file's text.
    pub fn render(&self, text: &str) -> String {
        let title = format!("error: {}", self.problem);
        Snippet::new(&self.source_name, self.at, self.chars).render(&title, text, self.help())
    }
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A line that starts with no known word.
    #[error("{} starts no statement", Quoted(.word))]
    UnknownStatement {
        /// The word found.
        word: Box<str>,
        /// A known word that looks like it.
        near: Option<&'static str>,
    },
    /// The line ends too early.
    #[error("{wanted} is missing")]
    Missing {
        /// What should stand there.
        wanted: &'static str,
    },
    /// Another word than the grammar has there.
    #[error("{} stands where {wanted} should", Quoted(.word))]
    Unexpected {
        /// The word found.
        word: Box<str>,
        /// What should stand there.
        wanted: &'static str,
        /// A known word that looks like it.
        near: Option<&'static str>,
    },
    /// A clause that is there already.
    #[error("`{clause}` is there twice")]
    Twice {
        /// Its first word.
        clause: &'static str,
    },
    /// Words after the end of a statement.
    #[error("{} stands after the end of the statement", Quoted(.text))]
    Trailing {
        /// The words found.
        text: Box<str>,
    },
    /// A string or set without its end.
    #[error("the {what} is not closed")]
    Unclosed {
        /// What is open.
        what: &'static str,
    },
    /// A name of a set with other than letters, digits, `-` and `_`.
    #[error("{} is not a name for a set", Quoted(.name))]
    BadName {
        /// The name found.
        name: Box<str>,
    },
    /// A set that is not in the file.
    #[error("set `{name}` is not defined in this file")]
    UnknownSet {
        /// The name used.
        name: Box<str>,
        /// A defined name that looks like it.
        near: Option<Box<str>>,
    },
    /// A set defined twice.
    #[error("set `{name}` is defined twice")]
    DuplicateSet {
        /// Its name.
        name: Box<str>,
        /// Where it is defined first.
        first: Position,
    },
    /// Two defaults that differ.
    #[error("the default is set twice, and differently")]
    TwoDefaults {
        /// The other place.
        first: Origin,
    },
    /// A bad host pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A bad network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A bad path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A bad URL.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A method that is no token in upper case.
    #[error("{} is not a method", Quoted(.text))]
    BadMethod {
        /// The text found.
        text: Box<str>,
    },
    /// A rate that is not `number/unit`.
    #[error("{} is not a rate", Quoted(.text))]
    BadRate {
        /// The text found.
        text: Box<str>,
    },
    /// A budget that is neither bytes nor names for a time.
    #[error("{} is not a budget", Quoted(.text))]
    BadBudget {
        /// The text found.
        text: Box<str>,
    },
    /// A name that percent-encoding would change.
    #[error("{} is not the name of a parameter", Quoted(.text))]
    BadParameter {
        /// The text found.
        text: Box<str>,
    },
    /// A header that a proxy must not set.
    #[error("{} is not the name of a header that can be injected", Quoted(.text))]
    BadHeader {
        /// The text found.
        text: Box<str>,
    },
    /// A format without exactly one `%s`.
    #[error("format {} does not have exactly one `%s`", Quoted(.text))]
    BadFormat {
        /// The text found.
        text: Box<str>,
    },
    /// A name of a variable with a space, or a word that starts a comment.
    #[error("{} is not the name of a variable", Quoted(.text))]
    BadVariable {
        /// The text found.
        text: Box<str>,
    },
    /// A control character in quotes.
    #[error("{} has a control character", Quoted(.text))]
    Control {
        /// The text found.
        text: Box<str>,
    },
    /// An empty name of a file, or one with control characters.
    #[error("{} is not the name of a file", Quoted(.text))]
    FileName {
        /// The text found.
        text: Box<str>,
    },
    /// Methods or paths on a rule that is not about hosts.
    #[error("methods and paths belong to rules about hosts that allow or block")]
    RequestOfWhat,
    /// A file that the caller could not load.
    #[error("file {} cannot be read: {reason}", Quoted(.name))]
    Unreadable {
        /// Its name as written.
        name: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// A file that includes itself.
    #[error("file {} includes itself", Quoted(.name))]
    Cycle {
        /// Its name.
        name: Box<str>,
    },
    /// A credential for hosts that are not one exact name.
    #[error("a credential needs one exact host, not `{pattern}`")]
    InjectMany {
        /// The pattern found.
        pattern: Box<HostPattern>,
    },
    /// A credential that would cross the network in the clear.
    #[error("a credential for `{pattern}` would be sent over plain HTTP")]
    InjectPlain {
        /// The pattern found.
        pattern: Box<HostPattern>,
    },
    /// A request rule where traffic is not read.
    #[error("methods and paths of `{pattern}` cannot be seen, because it is bypassed")]
    Bypassed {
        /// The pattern of the request rule.
        pattern: Box<HostPattern>,
        /// The bypass.
        bypass: Origin,
    },
    /// A credential where traffic is not read.
    #[error("no credential can be injected for `{pattern}`, because it is bypassed")]
    InjectBypassed {
        /// The pattern of the credential.
        pattern: Box<HostPattern>,
        /// The bypass.
        bypass: Origin,
    },
}

impl Problem {
    /// What to write instead.
    pub fn help(&self) -> Option<String> {
        let near = |near: &Option<&str>| near.map(|near| format!("did you mean `{near}`?"));
        match self {
            Self::UnknownStatement { near: guess, .. } => Some(near(guess).unwrap_or_else(|| {
                "a line starts with `allow`, `block`, `bypass`, `default`, `set`, `include`, `limit`, `budget`, `inject` or `expect`".into()
            })),
            Self::Missing { wanted: "`{`" } => {
                Some("write the members in braces, such as `{ a.example b.example }`".into())
            }
            Self::Missing { .. } => None,
            Self::Unexpected { near: guess, .. } => near(guess),
            Self::Twice { .. } => Some("keep one".into()),
            Self::Trailing { .. } => Some("put every statement on a line of its own, and comments after ` #`".into()),
            Self::Unclosed { what } => Some(match *what {
                "set" => "end it with `}`".into(),
                _ => "end it with `\"` on the same line".into(),
            }),
            Self::BadName { name } => {
                let bare = name.strip_prefix('$').filter(|name| is_name(name));
                Some(match bare {
                    Some(name) => format!("write `{name}` here, and `${name}` where it is used"),
                    None => "use letters, digits, `-` and `_`".into(),
                })
            }
            Self::UnknownSet { near, .. } => Some(match near {
                Some(near) => format!("did you mean `${near}`?"),
                None => "define it with `set NAME = { … }`".into(),
            }),
            Self::DuplicateSet { first, .. } => Some(format!("it is defined first at {first}; keep one")),
            Self::TwoDefaults { first } => Some(format!("the other one is at {first}; keep one")),
            Self::Pattern(error) => Some(error.help().into()),
            Self::Net(error) => Some(error.help().into()),
            Self::Path(error) => Some(error.help()),
            Self::Target(error) => Some(error.help().into()),
            Self::BadMethod { text } => Some(match text.chars().all(|c| c.is_ascii_alphabetic()) {
                true => format!("write `{}`", text.to_ascii_uppercase()),
                false => "write methods such as `GET,HEAD`, and paths with `/` first".into(),
            }),
            Self::BadRate { .. } => Some("write a number and `/s`, `/m`, `/h` or `/d`, such as `20/s`".into()),
            Self::BadBudget { .. } => Some("write bytes or names for a time, such as `50MB/d` or `20 names/h`".into()),
            Self::BadParameter { .. } => Some("use letters, digits, `-`, `.`, `_` and `~`".into()),
            Self::BadHeader { .. } => Some("name a header that carries a credential, such as `authorization`".into()),
            Self::BadFormat { .. } => Some("write `%s` where the secret goes, such as `Bearer %s`".into()),
            Self::BadVariable { .. } => Some("name a variable of the environment, such as `API_KEY`".into()),
            Self::Control { .. } => Some("write it without tabs and other control characters".into()),
            Self::FileName { .. } => Some("name a file, relative to the one that names it".into()),
            Self::RequestOfWhat => Some("write the host instead of the network, list or bypass".into()),
            Self::Unreadable { .. } => Some("check the name; it is relative to the file that names it".into()),
            Self::Cycle { .. } => Some("remove one of the includes".into()),
            Self::InjectMany { .. } => Some("write one line for each host".into()),
            Self::InjectPlain { .. } => Some("leave the port out, or write that of HTTPS".into()),
            Self::Bypassed { bypass, .. } | Self::InjectBypassed { bypass, .. } => {
                Some(format!("the bypass is at {bypass}; remove one of the two"))
            }
        }
    }
}
