//! Why a credential cannot be set.

/// Why a credential cannot be set. The request is then not sent at all. None of them holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("variable `{0}` is not set")]
    NoVariable(String),
    #[error("file `{0}` cannot be read")]
    NoFile(String),
    #[error("the command for it failed")]
    Command,
    #[error("the desktop keyring has no entry `{0}`, or is locked")]
    NoEntry(String),
    #[error("`secret-tool`, which asks the desktop keyring, is not installed")]
    NoKeyring,
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    #[error("it has characters that no header can hold")]
    BadBytes,
    #[error("`{0}` is not a header name")]
    BadHeader(String),
    #[error("the request's path and query have no space for it")]
    NoSpace,
    #[error("the request has no form of at most 64 KiB to put it into")]
    NoForm,
    #[error("`{0}` is not a JSON object with `token_endpoint` and `refresh_token`")]
    BadOAuthFile(String),
    #[error("the token endpoint {0}")]
    TokenEndpoint(String),
    /// The same, and nothing was sent there.
    #[error("the token endpoint {0}")]
    NotAsked(String),
    #[error("having it was interrupted")]
    Interrupted,
}

impl CredentialError {
    /// Whether nobody was asked: to try again costs nothing, and may do once a file or the policy has changed.
    pub(super) fn is_local(&self) -> bool {
        matches!(
            self,
            Self::NoFile(_) | Self::BadOAuthFile(_) | Self::NotAsked(_)
        )
    }
}
