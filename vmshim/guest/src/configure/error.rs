//! Why a configuration could not be applied.

use std::io;

/// Why a configuration could not be applied. The host shows the text to the user.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The guest's kernel or disk refused.
    #[error("the sandbox cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The refusal.
        source: io::Error,
    },
    /// The template has the user with other numbers.
    #[error("the template's user `{name}` has uid {found}, and the sandbox needs {wanted}")]
    OtherUser {
        /// Login name.
        name: String,
        /// Its uid in the template.
        found: u32,
        /// The uid that was asked for.
        wanted: u32,
    },
    /// The name or home cannot stand in passwd(5).
    #[error("`{0}` cannot be a user's name or home")]
    BadUser(String),
}

/// Turns an I/O error into the failure of a named deed.
pub(super) trait Doing<T> {
    fn doing(self, doing: impl Into<String>) -> Result<T, ConfigureError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl Into<String>) -> Result<T, ConfigureError> {
        self.map_err(|error| ConfigureError::Io {
            doing: doing.into(),
            source: error.into(),
        })
    }
}
