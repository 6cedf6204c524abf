//! Why an exchange with an origin failed.

use std::io;

use super::head::MAX_BYTES;
use crate::cause::Cause;
use crate::http1::decode::BadBody;
use crate::http1::fields::{BadField, MAX_FIELDS};
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

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("its head is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it has more than {MAX_FIELDS} header fields")]
    TooManyFields,
    #[error("a line end is not CR LF, or a control character is in the head")]
    BadByte,
    #[error("the status line is not one of HTTP/1.0 or HTTP/1.1")]
    StatusLine,
    #[error("a header field is malformed")]
    Field,
    #[error("a header field is folded over two lines")]
    Folded,
    #[error("`Content-Length` must be one plain decimal number")]
    ContentLength,
    #[error("`Transfer-Encoding` must be exactly `chunked`, once, in HTTP/1.1")]
    TransferEncoding,
    #[error("`Content-Length` and `Transfer-Encoding` are both present")]
    TwoLengths,
    #[error("more than {0} interim answers came before the final one")]
    Interim(u32),
    #[error("its body is not correctly chunked")]
    Chunk,
}

impl From<BadField> for AnswerError {
    fn from(error: BadField) -> Self {
        match error {
            BadField::TooMany => Self::TooManyFields,
            BadField::Folded => Self::Folded,
            BadField::Malformed => Self::Field,
            BadField::BadByte => Self::BadByte,
        }
    }
}

impl From<BadBody> for AnswerError {
    fn from(error: BadBody) -> Self {
        match error {
            BadBody::Chunk => Self::Chunk,
            BadBody::Field(error) => error.into(),
        }
    }
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
            error @ (Error::Ended | Error::Request(_) | Error::Io(_)) => {
                Self::Closed(error.to_string())
            }
        }
    }
}
