//! Why an answer is refused.

use super::head::MAX_BYTES;
use crate::http1::decode::BadBody;
use crate::http1::fields::{BadField, MAX_FIELDS};

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
