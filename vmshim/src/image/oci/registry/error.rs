//! What can go wrong with a registry, and what a person can do about it.

use oci_client::errors::OciDistributionError as Answer;

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
            Self::Mismatch(_) | Self::Size => {
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
    pub(super) fn new(answer: &Answer) -> Self {
        let passing = match answer {
            Answer::ServerError { code, .. } => *code >= 500,
            Answer::RequestError(_) | Answer::IoError(_) => true,
            _ => false,
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

/// Tells whose fault a failed request is.
pub(in super::super) fn explain(reference: &Reference, answer: Answer) -> Error {
    use oci_client::errors::OciErrorCode as Code;
    let registry = reference.registry().to_owned();
    let image = reference.to_string();
    let source = Said::new(&answer);
    match answer {
        Answer::RequestError(_) | Answer::IoError(_) => Error::Unreachable { registry, source },
        Answer::UnauthorizedError { .. } | Answer::AuthenticationFailure(_) => {
            Error::Denied { registry, image }
        }
        Answer::ServerError { code: 429, .. } => Error::Busy { registry },
        Answer::ServerError { code: 403, .. } => Error::Denied { registry, image },
        Answer::ServerError { code: 404, .. } => Error::NotFound { registry, image },
        Answer::ImageManifestNotFoundError(_) => Error::NotFound { registry, image },
        Answer::RegistryError { envelope, .. } => match envelope.errors.first().map(|e| &e.code) {
            Some(Code::Unauthorized | Code::Denied) => Error::Denied { registry, image },
            Some(
                Code::ManifestUnknown | Code::NameUnknown | Code::NotFound | Code::BlobUnknown,
            ) => Error::NotFound { registry, image },
            Some(Code::Toomanyrequests) => Error::Busy { registry },
            _ => Error::Answer { registry, source },
        },
        _ => Error::Answer { registry, source },
    }
}
