//! Why an exchange with an origin failed.

use std::io;

use super::AnswerError;
use crate::cause::Cause;
use crate::http1::sending::SendError;
use crate::upstream::body::BodyError;

/// Whose fault it is, and what.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its answer is none, or two readers could take it for different ones.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("the connection ended before the answer did")]
    Ended,
    #[error("the request could not be sent whole: {0}")]
    Request(#[from] BodyError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<SendError<BodyError>> for Error {
    fn from(error: SendError<BodyError>) -> Self {
        match error {
            SendError::Body(error) => Self::Request(error),
            SendError::Length => Self::Request(BodyError::Length),
            SendError::Io(error) => Self::Io(error),
        }
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        match error {
            Error::Answer(what) => Self::BadAnswer(what.to_string()),
            Error::Request(BodyError::Client(broken)) if broken.is_absence() => Self::ClientAbort,
            error @ (Error::Ended | Error::Request(_) | Error::Io(_)) => {
                Self::Closed(error.to_string())
            }
        }
    }
}
