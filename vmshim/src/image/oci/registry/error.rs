//! What can go wrong with a registry, and what a person can do about it.

use oci_client::errors::{OciEnvelope, OciErrorCode as Code};

use super::super::digest::Mismatch;
use super::super::{Reference, manifest};
use crate::cache;

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error("the registry `{registry}` could not be reached")]
    Unreachable {
        /// The registry's name.
        registry: String,
        /// What the client says.
        #[source]
        source: Said,
    },
    /// Not without other credentials. Some registries say so of images that do not exist.
    #[error("the registry `{registry}` does not give out `{image}`")]
    Denied {
        /// The registry's name.
        registry: String,
        /// The image asked for.
        image: String,
    },
    /// No such image.
    #[error("the registry `{registry}` has no `{image}`")]
    NotFound {
        /// The registry's name.
        registry: String,
        /// The image asked for.
        image: String,
    },
    /// Too many pulls.
    #[error("the registry `{registry}` asks to wait: too many requests")]
    Busy {
        /// The registry's name.
        registry: String,
    },
    /// An answer that makes no sense.
    #[error("the registry `{registry}` gave an answer that is of no use")]
    Answer {
        /// The registry's name.
        registry: String,
        /// What the client says.
        #[source]
        source: Said,
    },
    /// An answer without an end, or with one too far away.
    #[error("the registry `{registry}` gave an answer that is too long to be one")]
    Long {
        /// The registry's name.
        registry: String,
    },
    /// Content that is not what its digest promised.
    #[error("the registry sent damaged content")]
    Mismatch(#[from] Mismatch),
    /// Content larger than its descriptor promised, or than any image is.
    #[error("the registry sent or promised more than an image has")]
    Size,
    /// A document about the image is of no use.
    #[error("`{image}` cannot be used")]
    Document {
        /// The image asked for.
        image: String,
        /// What is wrong.
        #[source]
        source: manifest::Error,
    },
    /// A layer could not be kept.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The operating system refused a thread or timer.
    #[error("the download could not be started")]
    Start(#[source] std::io::Error),
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { .. } => {
                "check the network and this shell's proxy variables, then try again: what was fetched is kept".to_owned()
            }
            Self::Denied { registry, .. } => {
                format!("check the name; if the image is private, run `docker login {registry}`")
            }
            Self::NotFound { .. } => "check the name and the tag".to_owned(),
            Self::Busy { registry } => {
                format!("wait a while, or run `docker login {registry}` for a larger allowance")
            }
            Self::Mismatch(_) | Self::Size | Self::Long { .. } => {
                "try again; if it stays so, the registry or a proxy before it is broken".to_owned()
            }
            Self::Cache(error) => return error.help(),
            Self::Answer { .. } | Self::Document { .. } | Self::Start(_) => return None,
        };
        Some(text)
    }
}

/// What the client or the registry said, made fit for a terminal.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Said {
    text: String,
    /// Whether asking again may help.
    pub(in super::super) passing: bool,
}

impl Said {
    fn new(answer: &Answer) -> Self {
        let passing = match answer {
            Answer::Status { code, .. } => *code >= 500,
            Answer::None(_) | Answer::Cut(_) => true,
            Answer::Address | Answer::Long | Answer::Token | Answer::Refused => false,
        };
        // The library's error for a failed request names its cause only as its source.
        let mut text = answer.to_string();
        let mut cause = std::error::Error::source(answer);
        while let Some(error) = cause {
            text = error.to_string();
            cause = error.source();
        }
        let text = text.chars().take(300).flat_map(char::escape_debug);
        Self {
            text: text.collect(),
            passing,
        }
    }
}

/// What came in place of what was asked for.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Answer {
    /// Nothing could be asked.
    #[error("its name is no address")]
    Address,
    /// Nothing, or not all of it.
    #[error(transparent)]
    None(#[from] reqwest::Error),
    /// Less than was promised.
    #[error(transparent)]
    Cut(#[from] std::io::Error),
    /// More than such an answer has.
    #[error("it is longer than any such answer")]
    Long,
    /// An error, with the beginning of what it says.
    #[error("status {code}: {}", String::from_utf8_lossy(body))]
    Status {
        /// The HTTP status.
        code: u16,
        /// The beginning of the body.
        body: Vec<u8>,
    },
    /// Nothing that is or leads to a token.
    #[error("it asks for a token and gives none that can be used")]
    Token,
    /// No token for us.
    #[error("it gives no token")]
    Refused,
}

/// Tells whose fault a failed request is.
pub(super) fn explain(reference: &Reference, answer: Answer) -> Error {
    let registry = reference.registry().to_owned();
    let image = reference.to_string();
    let source = Said::new(&answer);
    match answer {
        Answer::None(_) | Answer::Cut(_) => Error::Unreachable { registry, source },
        Answer::Long => Error::Long { registry },
        Answer::Refused => Error::Denied { registry, image },
        Answer::Address | Answer::Token => Error::Answer { registry, source },
        Answer::Status { code, body } => {
            let said = serde_json::from_slice::<OciEnvelope>(&body).ok();
            let said = said.and_then(|said| said.errors.into_iter().next());
            match (code, said.map(|error| error.code)) {
                (401 | 403, _) | (_, Some(Code::Unauthorized | Code::Denied)) => {
                    Error::Denied { registry, image }
                }
                (429, _) | (_, Some(Code::Toomanyrequests)) => Error::Busy { registry },
                (404, _)
                | (
                    _,
                    Some(
                        Code::ManifestUnknown
                        | Code::NameUnknown
                        | Code::NotFound
                        | Code::BlobUnknown,
                    ),
                ) => Error::NotFound { registry, image },
                _ => Error::Answer { registry, source },
            }
        }
    }
}
