//! What is wrong with a file, and where.

use crate::{NetError, PatternError, Position, language, quote::Quoted};
use std::sync::Arc;

/// Why a file was refused. Displays as `source:line:column: problem`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}:{at}: {problem}")]
pub struct Error {
    /// The file's name as the caller gave it.
    pub source_name: Arc<str>,
    /// Where.
    pub at: Position,
    /// What.
    pub problem: Problem,
}

impl Error {
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
    /// An empty name of a file, or one with control characters.
    #[error("{} is not the name of a file", Quoted(.text))]
    FileName {
        /// The text found.
        text: Box<str>,
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
            Self::FileName { .. } => {
                Some("name a file of the policy language, relative to this one".into())
            }
            Self::Language(problem) => problem.help(),
        }
    }
}
