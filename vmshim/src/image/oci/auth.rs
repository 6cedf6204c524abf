//! Credentials for registries, from where Docker and Podman keep them.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;

use crate::progress::{Event, Progress};

/// How to log in to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    Anonymous,
    /// With what these files hold or name a credential helper for; the first that knows the registry.
    ///
    /// The format is that of Docker's `config.json`.
    Files(Vec<PathBuf>),
}

impl Auth {
    /// The files of Docker and Podman that belong to this process's user.
    pub fn of_user() -> Self {
        Self::from_env(|name| std::env::var_os(name))
    }

    fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str, rest: &str| Some(PathBuf::from(variable(name)?).join(rest));
        let files = [
            path("DOCKER_CONFIG", "config.json").or_else(|| path("HOME", ".docker/config.json")),
            path("REGISTRY_AUTH_FILE", "")
                .or_else(|| path("XDG_RUNTIME_DIR", "containers/auth.json")),
        ];
        // Joining nothing leaves a slash behind, which no file has.
        let trimmed = files
            .into_iter()
            .flatten()
            .map(|path| path.components().collect());
        Self::Files(trimmed.collect())
    }

    /// The credential for `registry`. One that cannot be had is told of and done without: most images are public.
    pub(super) fn for_registry(&self, registry: &str, progress: &dyn Progress) -> RegistryAuth {
        let Self::Files(files) = self else {
            return RegistryAuth::Anonymous;
        };
        for file in files {
            match look_up(file, registry) {
                Ok(Some(auth)) => return auth,
                Ok(None) => {}
                Err(why) => progress.event(Event::Note(&format!(
                    "no credentials for `{registry}` from `{}`: {why}",
                    file.display()
                ))),
            }
        }
        RegistryAuth::Anonymous
    }
}

fn look_up(path: &Path, registry: &str) -> Result<Option<RegistryAuth>, String> {
    use CredentialRetrievalError as Failure;
    // Docker files its own registry under this address.
    let server = match registry {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match get_credential_from_reader(std::io::BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(RegistryAuth::Basic(user, password)))
        }
        Ok(DockerCredential::IdentityToken(_)) => {
            Err("identity tokens are not supported".to_owned())
        }
        Err(Failure::NoCredentialConfigured) => Ok(None),
        // How every helper says that it has nothing for this registry.
        Err(Failure::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(Failure::HelperFailure { helper, .. }) => Err(format!("`{helper}` failed")),
        Err(other) => Err(other.to_string().to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn files_are_where_docker_and_podman_look() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let rows: [Row<'_>; 4] = [
            (&[], &[]),
            (&[("HOME", "/h")], &["/h/.docker/config.json"]),
            (
                &[
                    ("HOME", "/h"),
                    ("DOCKER_CONFIG", "/d"),
                    ("XDG_RUNTIME_DIR", "/r"),
                ],
                &["/d/config.json", "/r/containers/auth.json"],
            ),
            (
                &[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a.json")],
                &["/h/.docker/config.json", "/a.json"],
            ),
        ];
        for (variables, files) in rows {
            let auth = Auth::from_env(|name| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| value.into())
            });
            let wanted = files.iter().map(PathBuf::from).collect();
            assert_eq!(auth, Auth::Files(wanted));
        }
    }

    #[test]
    fn credentials_are_found_or_done_without() {
        let dir = tempfile::tempdir().unwrap();
        // `me:secret`
        let stored = r#"{"auth":"bWU6c2VjcmV0"}"#;
        let basic = RegistryAuth::Basic("me".to_owned(), "secret".to_owned());
        let rows = [
            (
                format!(r#"{{"auths":{{"localhost:5000":{stored}}}}}"#),
                "localhost:5000",
                basic.clone(),
                0,
            ),
            (
                format!(r#"{{"auths":{{"https://index.docker.io/v1/":{stored}}}}}"#),
                "docker.io",
                basic,
                0,
            ),
            (
                format!(r#"{{"auths":{{"other:5000":{stored}}}}}"#),
                "localhost:5000",
                RegistryAuth::Anonymous,
                0,
            ),
            (
                "{}".to_owned(),
                "localhost:5000",
                RegistryAuth::Anonymous,
                0,
            ),
            (
                "{not json".to_owned(),
                "localhost:5000",
                RegistryAuth::Anonymous,
                1,
            ),
            (
                r#"{"credsStore":"no-such-helper-here"}"#.to_owned(),
                "localhost:5000",
                RegistryAuth::Anonymous,
                1,
            ),
            (
                r#"{"auths":{"a:1":{"identitytoken":"t"}}}"#.to_owned(),
                "a:1",
                RegistryAuth::Anonymous,
                1,
            ),
        ];
        for (text, registry, wanted, notes) in rows {
            let path = dir.path().join("config.json");
            std::fs::write(&path, &text).unwrap();
            let heard = Mutex::new(0);
            let progress = |event: Event<'_>| {
                if let Event::Note(note) = event {
                    assert!(!note.contains("secret"));
                    *heard.lock().unwrap() += 1;
                }
            };
            let auth = Auth::Files(vec![dir.path().join("absent.json"), path]);
            assert_eq!(auth.for_registry(registry, &progress), wanted, "{text}");
            assert_eq!(*heard.lock().unwrap(), notes, "{text}");
        }
    }
}
