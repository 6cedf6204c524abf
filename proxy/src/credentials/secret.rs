//! A secret: never printed, wiped when it is no longer needed.

use secrecy::{ExposeSecret as _, SecretString};

use super::CredentialError;

/// Longest secret. What is longer is the wrong file.
pub(super) const MAX_SECRET: usize = 16 * 1024;

/// A checked secret. Its `Debug` does not show it; its memory is wiped when it is dropped.
///
/// Copies that libraries make (a header's value on its way out, what TLS encrypts) are theirs and are not wiped;
/// the process leaves no core file instead.
#[derive(Debug, Clone)]
pub(crate) struct Secret(SecretString);

impl Secret {
    /// Without the line feed that editors and `echo` put at the end.
    pub(super) fn new(text: impl Into<SecretString>) -> Result<Self, CredentialError> {
        let text: SecretString = text.into();
        let secret = text.expose_secret().trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(CredentialError::Empty);
        }
        if secret.len() > MAX_SECRET {
            return Err(CredentialError::TooLong(MAX_SECRET));
        }
        match secret.chars().any(char::is_control) {
            true => Err(CredentialError::BadBytes),
            false => Ok(Self(secret.into())),
        }
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let long = "x".repeat(MAX_SECRET + 1);
        let rows = [
            ("key\n", Ok("key")),
            ("key\r\n\n", Ok("key")),
            ("", Err(CredentialError::Empty)),
            ("\n", Err(CredentialError::Empty)),
            ("a\r\nb", Err(CredentialError::BadBytes)),
            ("a\0", Err(CredentialError::BadBytes)),
            (&long, Err(CredentialError::TooLong(MAX_SECRET))),
        ];
        for (text, expected) in rows {
            let got = Secret::new(text);
            let got = got.as_ref().map(Secret::expose).map_err(Clone::clone);
            assert_eq!(got, expected, "{text:?}");
        }
        let shown = format!("{:?}", Secret::new("hush-hush"));
        assert!(!shown.contains("hush"), "{shown}");
    }
}
