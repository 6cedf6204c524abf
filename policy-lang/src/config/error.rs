//! What is wrong with a file, and where.

use crate::{
    NetError, PatternError, Position,
    language::{self, nearest},
    quote::Quoted,
    snippet::Snippet,
};
use std::{fmt, sync::Arc};

/// Why a file was refused. Displays as `source:line:column: problem`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}:{at}: {problem}")]
pub struct Error {
    /// The file's name as the caller gave it.
    pub source_name: Arc<str>,
    /// Where.
    pub at: Position,
    /// How many characters show it; 0 if that is not known.
    pub chars: usize,
    /// What.
    pub problem: Problem,
}

impl Error {
    /// The error with the line it is about, marked, for a terminal. `text` is the file's text.
    pub fn render(&self, text: &str) -> String {
        let title = format!("error: {}", self.problem);
        Snippet::new(&self.source_name, self.at, self.chars).render(&title, text, self.help())
    }

    /// What to write instead.
    pub fn help(&self) -> Option<String> {
        self.problem.help()
    }
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not JSON.
    #[error("{message}")]
    Syntax {
        /// What the JSON parser says.
        message: Box<str>,
    },
    /// U+FEFF at the start.
    #[error("the file starts with a byte order mark")]
    ByteOrderMark,
    /// More bytes than any policy needs.
    #[error("the file has {bytes} bytes, more than {limit}")]
    TooBig {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Brackets in brackets.
    #[error("values are nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The same key twice in one object.
    #[error("key {} stands twice in one object", Quoted(.key))]
    DuplicateKey {
        /// The key.
        key: Box<str>,
        /// Where it stands first.
        first: Position,
    },
    /// A value of the wrong JSON type.
    #[error("`{key}` must be {wanted}, not {found}")]
    WrongType {
        /// The key, dotted.
        key: Box<str>,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A policy other than `allow` or `deny`.
    #[error("policy {} is neither `allow` nor `deny`", Quoted(.text))]
    UnknownAction {
        /// The text found.
        text: Box<str>,
    },
    /// A bad host pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A bad network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A field that an entry must have.
    #[error("{} is missing", Listed(.names))]
    MissingField {
        /// Its name, or those of which one is needed.
        names: &'static [&'static str],
    },
    /// A list that must hold something.
    #[error("`{key}` is empty")]
    EmptyList {
        /// The key, dotted.
        key: Box<str>,
    },
    /// A field that an entry of this kind does not have.
    #[error("{} is no field of an entry of `{key}`", Quoted(.name))]
    UnknownField {
        /// The name found.
        name: Box<str>,
        /// The key.
        key: Box<str>,
        /// A known name that looks like it.
        near: Option<&'static str>,
    },
    /// A word other than the ones that a field takes.
    #[error("{} stands where {} should", Quoted(.text), Listed(.wanted))]
    UnknownWord {
        /// The text found.
        text: Box<str>,
        /// The words.
        wanted: &'static [&'static str],
    },
    /// Something in an included file, or in what all files say together.
    #[error(transparent)]
    Language(#[from] language::Problem),
}

impl From<language::Error> for Error {
    fn from(error: language::Error) -> Self {
        Self {
            source_name: error.source_name,
            at: error.at,
            chars: error.chars,
            problem: error.problem.into(),
        }
    }
}

impl Problem {
    /// What to write instead.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Syntax { .. } => None,
            Self::ByteOrderMark => Some("save the file as UTF-8 without a byte order mark".into()),
            Self::TooBig { .. } => Some("move long lists into list files".into()),
            Self::TooDeep { .. } => Some("a policy needs three levels".into()),
            Self::DuplicateKey { first, .. } => {
                Some(format!("it stands first at {first}; keep one"))
            }
            Self::WrongType { .. } => None,
            Self::UnknownAction { .. } => Some("write `\"allow\"` or `\"deny\"`".into()),
            Self::Pattern(error) => Some(error.help().into()),
            Self::Net(error) => Some(error.help().into()),
            Self::MissingField { .. } => None,
            Self::EmptyList { .. } => Some("leave it out if it does not matter".into()),
            Self::UnknownField { near, .. } => near.map(|near| format!("did you mean `{near}`?")),
            Self::UnknownWord { text, wanted } => {
                nearest(text, wanted).map(|near| format!("did you mean `{near}`?"))
            }
            Self::Language(problem) => problem.help(),
        }
    }
}

/// `a`, `b` or `c`.
struct Listed<'a>(&'a [&'static str]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, word) in self.0.iter().enumerate() {
            let before = match n {
                0 => "",
                n if n + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}`{word}`")?;
        }
        Ok(())
    }
}
