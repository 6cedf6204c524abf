//! Secrets that only the proxy knows, set on requests to the one host each is for.
//!
//! A secret is read when it is used, so a rotated one is used at once. It is never logged, and never in an error.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use policy_lang::{Credential, Injection, Placement, SecretSource};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Longest secret. A file that is longer is the wrong file.
const MAX_SECRET: usize = 16 * 1024;

/// How long what a command printed is used again.
const COMMAND_VALID: Duration = Duration::from_secs(60);

/// Time for a command to print a secret.
const COMMAND_PATIENCE: Duration = Duration::from_secs(10);

/// What a client may have set by itself, and must not where we do: it would be somebody else's account.
const CLIENTS_OWN: [HeaderName; 5] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("x-auth-token"),
];

/// The same in a query.
const CLIENTS_OWN_QUERY: [&str; 4] = ["key", "api_key", "api-key", "access_token"];

/// Why a credential cannot be set. The request is then not sent at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("variable `{0}` is not set")]
    NoVariable(String),
    #[error("file `{0}` cannot be read")]
    NoFile(String),
    #[error("the command for it failed")]
    Command,
    #[error("keyrings are not supported by this version")]
    Keyring,
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_SECRET} bytes")]
    TooLong,
    #[error("it has characters that no header can hold")]
    BadBytes,
    #[error("`{0}` is not a header name")]
    BadHeader(String),
}

/// Where secrets come from, with what commands printed lately.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    printed: Mutex<HashMap<Box<str>, (Instant, Secret)>>,
}

/// A secret. Its `Debug` does not show it.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Credentials {
    /// The header that `injection` sets, marked sensitive: never shown by `Debug`, never indexed by HPACK.
    pub(crate) async fn header(
        &self,
        injection: &Injection,
    ) -> Result<(HeaderName, HeaderValue), CredentialError> {
        let Credential {
            place,
            from,
            format,
            ..
        } = &injection.credential;
        let Placement::Header(header) = place else {
            return Err(CredentialError::BadHeader(place.to_string()));
        };
        let name = HeaderName::try_from(&**header)
            .map_err(|_| CredentialError::BadHeader(header.to_string()))?;
        let Secret(secret) = self.secret(from).await?;
        let text = match format {
            Some(format) => format.replace("%s", &secret),
            None => secret,
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| CredentialError::BadBytes)?;
        value.set_sensitive(true);
        Ok((name, value))
    }

    async fn secret(&self, from: &SecretSource) -> Result<Secret, CredentialError> {
        match from {
            SecretSource::Env(name) => std::env::var(&**name)
                .map_err(|_| CredentialError::NoVariable(name.to_string()))
                .and_then(checked),
            SecretSource::File(path) => {
                let text = tokio::fs::read_to_string(&**path).await;
                text.map_err(|_| CredentialError::NoFile(path.to_string()))
                    .and_then(checked)
            }
            SecretSource::Command(command) => self.printed(command).await,
            SecretSource::Keyring(_) | SecretSource::OAuth(_) => Err(CredentialError::Keyring),
        }
    }

    /// One command runs at a time, however many requests wait for it.
    async fn printed(&self, command: &str) -> Result<Secret, CredentialError> {
        let mut printed = self.printed.lock().await;
        if let Some((at, secret)) = printed.get(command)
            && at.elapsed() < COMMAND_VALID
        {
            return Ok(secret.clone());
        }
        let secret = run(command).await.and_then(checked)?;
        printed.insert(command.into(), (Instant::now(), secret.clone()));
        Ok(secret)
    }
}

async fn run(command: &str) -> Result<String, CredentialError> {
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match timeout(COMMAND_PATIENCE, shell.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            String::from_utf8(output.stdout).map_err(|_| CredentialError::BadBytes)
        }
        _ => Err(CredentialError::Command),
    }
}

/// Without the line feed that editors and `echo` put at the end.
fn checked(text: String) -> Result<Secret, CredentialError> {
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(CredentialError::Empty);
    }
    if secret.len() > MAX_SECRET {
        return Err(CredentialError::TooLong);
    }
    match secret.chars().any(char::is_control) {
        true => Err(CredentialError::BadBytes),
        false => Ok(Secret(secret.to_owned())),
    }
}

/// Removes every credential a client can have set itself.
pub(crate) fn strip(fields: &mut HeaderMap) {
    for name in &CLIENTS_OWN {
        fields.remove(name);
    }
}

/// `path` without credentials in its query.
pub(crate) fn strip_query(path: &PathAndQuery) -> PathAndQuery {
    let Some(query) = path.query() else {
        return path.clone();
    };
    let is_own = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        CLIENTS_OWN_QUERY
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    };
    if !query.split('&').any(|pair| is_own(&pair)) {
        return path.clone();
    }
    let kept: Vec<_> = query.split('&').filter(|pair| !is_own(pair)).collect();
    let separator = if kept.is_empty() { "" } else { "?" };
    let stripped = format!("{}{separator}{}", path.path(), kept.join("&"));
    PathAndQuery::try_from(stripped).unwrap_or(PathAndQuery::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_checked() {
        let rows = [
            ("key\n", Ok("key")),
            ("key\r\n\n", Ok("key")),
            ("", Err(CredentialError::Empty)),
            ("\n", Err(CredentialError::Empty)),
            ("a\r\nb", Err(CredentialError::BadBytes)),
        ];
        for (text, expected) in rows {
            let got = checked(text.to_owned());
            assert_eq!(
                got.as_ref().map(|Secret(secret)| secret.as_str()),
                expected.as_ref().copied(),
                "{text:?}"
            );
        }
        assert_eq!(format!("{:?}", Secret("key".into())), "Secret(…)");
    }

    #[test]
    fn queries_lose_their_keys() {
        let rows = [
            ("/a?b=c", "/a?b=c"),
            ("/a?key=s", "/a"),
            ("/a?x=1&KEY=s&y=2", "/a?x=1&y=2"),
            ("/a?access_token", "/a"),
        ];
        for (path, expected) in rows {
            assert_eq!(strip_query(&path.parse().unwrap()).as_str(), expected);
        }
    }

    #[tokio::test]
    async fn sources() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "from a file\n").unwrap();
        let credentials = Credentials::default();
        let file = SecretSource::File(file.display().to_string().into());
        assert_eq!(credentials.secret(&file).await.unwrap().0, "from a file");
        let command = SecretSource::Command("echo printed; echo noise >&2".into());
        assert_eq!(credentials.secret(&command).await.unwrap().0, "printed");
        for (source, error) in [
            (
                SecretSource::Command("exit 1".into()),
                CredentialError::Command,
            ),
            (
                SecretSource::Env("NO_SUCH_VARIABLE_HERE".into()),
                CredentialError::NoVariable("NO_SUCH_VARIABLE_HERE".into()),
            ),
            (
                SecretSource::File("/nonexistent".into()),
                CredentialError::NoFile("/nonexistent".into()),
            ),
        ] {
            assert_eq!(credentials.secret(&source).await.unwrap_err(), error);
        }
    }
}
