//! Why a program could not be started.

/// Why a program could not be started, for a person and for an exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExecError {
    /// The class of it.
    pub kind: ExecErrorKind,
    /// One lower-case sentence.
    pub message: String,
}

/// Classes of [`ExecError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecErrorKind {
    /// No such program.
    NotFound,
    /// There is one, but it cannot be executed.
    NotExecutable,
    /// No such user or group.
    NoSuchUser,
    /// The working directory is missing or is no directory.
    BadCwd,
    /// The request makes no sense: no program, a NUL in a name.
    BadRequest,
    /// The guest is not configured yet, or is stopping.
    NotReady,
    /// The guest is out of something: processes, memory, terminals.
    Failed,
}

impl ExecErrorKind {
    /// The exit code that `docker exec` has for it: 127 not found, 126 cannot be invoked, 125 the
    /// machinery itself failed.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotFound => 127,
            Self::NotExecutable | Self::NoSuchUser | Self::BadCwd => 126,
            Self::BadRequest | Self::NotReady | Self::Failed => 125,
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::NotFound => 1,
            Self::NotExecutable => 2,
            Self::NoSuchUser => 3,
            Self::BadCwd => 4,
            Self::BadRequest => 5,
            Self::NotReady => 6,
            Self::Failed => 7,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::NotFound,
            2 => Self::NotExecutable,
            3 => Self::NoSuchUser,
            4 => Self::BadCwd,
            5 => Self::BadRequest,
            6 => Self::NotReady,
            7 => Self::Failed,
            _ => return None,
        })
    }
}
