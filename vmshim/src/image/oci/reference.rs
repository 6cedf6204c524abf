//! Names of images, as Docker writes them.

use std::fmt::{self, Display};
use std::str::FromStr;

/// The name of an image: registry, repository, and tag or digest.
///
/// Docker's short forms are completed: `python` is `docker.io/library/python:latest`. A first component is a
/// registry if it has a dot or a port or is `localhost`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference(oci_client::Reference);

/// Why a text does not name an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of an image: {why}")]
pub struct Error {
    text: String,
    why: String,
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        Some("write it as `python:3-slim`, `registry.example.com/team/image:tag` or `image@sha256:…`".to_owned())
    }
}

impl Reference {
    /// The registry, with its port if one was given: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The repository: `library/python`.
    pub fn repository(&self) -> &str {
        self.0.repository()
    }

    /// The tag, if one was given or neither tag nor digest was.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag()
    }

    /// The digest, if one was given. It outranks a tag.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// Whether the registry is on this machine, where plain HTTP is spoken.
    pub fn is_loopback(&self) -> bool {
        let registry = self.registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        host == "localhost"
            || host
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
    }

    pub(super) fn inner(&self) -> &oci_client::Reference {
        &self.0
    }
}

impl Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |why: String| Error {
            text: text.escape_debug().to_string(),
            why,
        };
        // 64 hex digits are an image's id to Docker, never a name.
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error("it is an image's id".to_owned()));
        }
        let inner: oci_client::Reference = text
            .parse()
            .map_err(|parse: oci_client::ParseError| error(parse.to_string()))?;
        if inner
            .digest()
            .is_some_and(|digest| !digest.starts_with("sha256:"))
        {
            return Err(error("its digest is not of the kind sha256".to_owned()));
        }
        // The library completes `UPPER/x` without a second look.
        if inner
            .repository()
            .contains(|c: char| c.is_ascii_uppercase())
        {
            return Err(error("repository name must be lowercase".to_owned()));
        }
        Ok(Self(inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_completed_as_docker_does() {
        let pinned = format!("localhost:5000/x@{DIGEST}");
        let both = format!("org/x:1@{DIGEST}");
        let whole_both = format!("docker.io/org/x:1@{DIGEST}");
        let rows = [
            ("python", "docker.io/library/python:latest", false),
            ("python:3-slim", "docker.io/library/python:3-slim", false),
            ("org/x:tag", "docker.io/org/x:tag", false),
            ("docker.io/python", "docker.io/library/python:latest", false),
            (
                "index.docker.io/python",
                "docker.io/library/python:latest",
                false,
            ),
            (
                "docker/sandbox-templates:claude-code",
                "docker.io/docker/sandbox-templates:claude-code",
                false,
            ),
            (
                "registry.example.com/a/b/c:1.0",
                "registry.example.com/a/b/c:1.0",
                false,
            ),
            ("host:5000/x", "host:5000/x:latest", false),
            ("localhost/x", "localhost/x:latest", true),
            ("localhost:5000/x:Tag", "localhost:5000/x:Tag", true),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest", true),
            ("127.8.9.1/x", "127.8.9.1/x:latest", true),
            (
                "127.0.0.1.example.com/x",
                "127.0.0.1.example.com/x:latest",
                false,
            ),
            (
                "localhost.example.com/x",
                "localhost.example.com/x:latest",
                false,
            ),
            ("10.0.0.1:5000/x", "10.0.0.1:5000/x:latest", false),
            (&pinned, &pinned, true),
            (&both, &whole_both, false),
        ];
        for (text, whole, loopback) in rows {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), whole, "{text}");
            assert_eq!(reference.is_loopback(), loopback, "{text}");
            assert_eq!(whole.parse::<Reference>().unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let id = DIGEST.strip_prefix("sha256:").unwrap();
        let sha512 = format!("x@sha512:{id}{id}");
        let rows = [
            "",
            " ",
            "UPPER/x",
            "x:",
            "x@",
            "-x",
            "--help",
            "a//b",
            "/x",
            "../x",
            "x:tag:tag",
            "https://host/x",
            "x@sha256:abc",
            "user@host/x",
            "x y",
            "x\n",
            id,
            &sha512,
        ];
        for text in rows {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(
                error.to_string().contains("is not the name of an image"),
                "{text}"
            );
            assert!(error.help().is_some());
        }
    }
}
