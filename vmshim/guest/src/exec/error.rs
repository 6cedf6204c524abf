//! Why a program does not start.

use std::io;

use wire::exec::{ExecError, ExecErrorKind};

use super::NoSuchUser;

/// Why a program does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request names no program.
    #[error("there is no program to run")]
    NoProgram,
    /// A name, argument or variable cannot be given to a program.
    #[error("`{0}` contains a NUL byte or is no variable")]
    BadText(String),
    /// Nothing by that name.
    #[error("`{0}` is not found in the sandbox")]
    NotFound(String),
    /// Something, but no program for this user.
    #[error("`{program}` cannot be executed: {source}")]
    NotExecutable {
        /// As the request named it.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// No such user or group.
    #[error(transparent)]
    User(#[from] NoSuchUser),
    /// The working directory is missing or is no directory.
    #[error("the working directory `{0}` does not exist in the sandbox")]
    BadCwd(String),
    /// The guest ran out of something.
    #[error("the sandbox cannot start another program: {0}")]
    Failed(#[from] io::Error),
}

impl StartError {
    fn kind(&self) -> ExecErrorKind {
        match self {
            Self::NoProgram | Self::BadText(_) => ExecErrorKind::BadRequest,
            Self::NotFound(_) => ExecErrorKind::NotFound,
            Self::NotExecutable { .. } => ExecErrorKind::NotExecutable,
            Self::User(_) => ExecErrorKind::NoSuchUser,
            Self::BadCwd(_) => ExecErrorKind::BadCwd,
            Self::Failed(_) => ExecErrorKind::Failed,
        }
    }
}

impl From<StartError> for ExecError {
    fn from(error: StartError) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}
