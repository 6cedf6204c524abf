//! The documents that describe an image (OCI image specification; Docker's "schema 2" has the same shape).

use serde::{Deserialize, Serialize};

use super::digest::{BadDigest, Digest, Mismatch, check};

/// The largest document that is read, in bytes: what registries accept.
pub(super) const LARGEST_DOCUMENT: u64 = 4 << 20;

/// Layers of an image: eight times what Docker can mount.
const MOST_LAYERS: usize = 1024;

/// Indexes in indexes.
const DEEPEST_INDEX: usize = 4;

/// Platforms named in an error.
const MOST_NAMED: usize = 8;

/// Why a document is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the document that was promised.
    #[error("a document of the image is damaged")]
    Mismatch(#[from] Mismatch),
    /// Not JSON, or other fields than an image has.
    #[error("a document of the image cannot be understood")]
    Json(#[from] serde_json::Error),
    /// A digest that is none, or of another kind.
    #[error("a document of the image names unusable content")]
    Digest(#[from] BadDigest),
    /// Docker's first format, which nothing has written since 2017.
    #[error("the image has the format of Docker before 1.10")]
    Ancient,
    /// Only other machines can run it.
    #[error("the image is for {found}, not for {wanted}")]
    Platform {
        /// This machine, such as `linux/amd64`.
        wanted: String,
        /// Those that the image is for.
        found: String,
    },
    /// Config and manifest contradict each other, or there are more layers than any image has.
    #[error("the image's list of layers is not usable")]
    Layers,
}

/// Points at content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) digest: String,
    #[serde(default)]
    pub(super) size: u64,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Descriptor {
    pub(super) fn digest(&self) -> Result<Digest, BadDigest> {
        self.digest.parse()
    }
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) architecture: String,
}

impl Platform {
    /// This machine's: guests have the architecture of the host.
    pub(super) fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (os, architecture) = (self.os.escape_debug(), self.architecture.escape_debug());
        write!(f, "{os}/{architecture}")
    }
}

/// The manifest of one image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) digest: Digest,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl Manifest {
    /// The cache's names of the layers.
    pub(super) fn cached_layers(&self) -> Vec<String> {
        let digests = self.layers.iter().filter_map(|layer| layer.digest().ok());
        digests.map(|digest| digest.file_name()).collect()
    }
}

/// A manifest or an index of manifests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// Follows indexes from the document `top` to this machine's manifest; `fetch` brings the documents they name.
pub(super) fn resolve<E: From<Error>>(
    top: Vec<u8>,
    mut fetch: impl FnMut(&Descriptor) -> Result<Vec<u8>, E>,
) -> Result<Manifest, E> {
    let mut bytes = top;
    for _ in 0..DEEPEST_INDEX {
        let document: Document = serde_json::from_slice(&bytes).map_err(Error::from)?;
        if document.schema_version != 2 {
            return Err(Error::Ancient.into());
        }
        let Some(manifests) = document.manifests else {
            let config = document.config.ok_or(Error::Layers)?;
            let layers = document.layers;
            if layers.len() > MOST_LAYERS {
                return Err(Error::Layers.into());
            }
            let digest = Digest::of(&bytes);
            return Ok(Manifest {
                digest,
                config,
                layers,
            });
        };
        let entry = choose(&manifests, &Platform::here())?;
        bytes = fetch(entry)?;
        let digest = entry.digest().map_err(Error::from)?;
        check(&digest, &bytes).map_err(Error::from)?;
    }
    Err(Error::Layers.into())
}

/// The entry for `wanted`, or else the first that does not say what it is for.
fn choose<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Result<&'a Descriptor, Error> {
    let exact = entries
        .iter()
        .find(|entry| entry.platform.as_ref() == Some(wanted));
    let open = || entries.iter().find(|entry| entry.platform.is_none());
    exact.or_else(open).ok_or_else(|| {
        let mut found: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            // Attestations are filed under this.
            .filter(|platform| platform.os != "unknown")
            .map(Platform::to_string)
            .collect();
        found.sort();
        found.dedup();
        found.truncate(MOST_NAMED);
        Error::Platform {
            wanted: wanted.to_string(),
            found: match found.len() {
                0 => "nothing that can run".to_owned(),
                _ => found.join(", "),
            },
        }
    })
}

/// How an image wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// A user's name or number, perhaps with `:group`; empty means root.
    pub user: String,
    /// Where programs start; empty means `/`.
    pub working_dir: String,
    /// The program and its first arguments; empty if only `cmd` counts.
    pub entrypoint: Vec<String>,
    /// The default arguments, or the program if there is no entry point.
    pub cmd: Vec<String>,
}

/// What the config document says of use to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) image: ImageConfig,
    /// The digest of each layer's uncompressed tar stream, lowest first.
    pub(super) diff_ids: Vec<Digest>,
}

impl Config {
    /// Reads the document; it must be for this machine and list as many layers as the manifest does.
    pub(super) fn parse(bytes: &[u8], layers: usize) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(flatten)]
            platform: Platform,
            config: Option<Settings>,
            rootfs: RootFs,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Settings {
            env: Option<Vec<String>>,
            user: Option<String>,
            working_dir: Option<String>,
            entrypoint: Option<Vec<String>>,
            cmd: Option<Vec<String>>,
        }
        #[derive(Deserialize)]
        struct RootFs {
            diff_ids: Option<Vec<String>>,
        }

        let document: Document = serde_json::from_slice(bytes)?;
        let wanted = Platform::here();
        if document.platform != wanted {
            return Err(Error::Platform {
                wanted: wanted.to_string(),
                found: document.platform.to_string(),
            });
        }
        let diff_ids = document.rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers || layers > MOST_LAYERS {
            return Err(Error::Layers);
        }
        let settings = document.config.unwrap_or_default();
        Ok(Self {
            image: ImageConfig {
                env: settings.env.unwrap_or_default(),
                user: settings.user.unwrap_or_default(),
                working_dir: settings.working_dir.unwrap_or_default(),
                entrypoint: settings.entrypoint.unwrap_or_default(),
                cmd: settings.cmd.unwrap_or_default(),
            },
            diff_ids: diff_ids
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, BadDigest>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest() -> String {
        format!(r#"{{"schemaVersion":2,"config":{{"digest":"{EMPTY}","size":1}},"layers":[]}}"#)
    }

    fn entry(document: &str, platform: Option<&str>) -> String {
        let digest = Digest::of(document.as_bytes());
        let platform = platform.map_or(String::new(), |platform| {
            let (os, architecture) = platform.split_once('/').unwrap();
            format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#)
        });
        format!(
            r#"{{"digest":"{digest}","size":{}{platform}}}"#,
            document.len()
        )
    }

    fn index(entries: &[String]) -> String {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            entries.join(",")
        )
    }

    /// Resolves `top` where every named document is `document`.
    fn resolved(top: &str, document: &str) -> Result<Manifest, String> {
        let fetch = |_: &Descriptor| Ok::<_, Error>(document.as_bytes().to_vec());
        resolve(top.as_bytes().to_vec(), fetch).map_err(|error| error.to_string())
    }

    #[test]
    fn an_index_leads_to_this_machines_manifest() {
        let manifest = manifest();
        let here = Platform::here().to_string();
        let wanted = Digest::of(manifest.as_bytes());
        let ours = entry(&manifest, Some(&here));
        let rows = [
            manifest.clone(),
            index(&[entry("other", Some("linux/s390x")), ours.clone()]),
            index(&[
                entry("other", Some("unknown/unknown")),
                entry(&manifest, None),
            ]),
            index(&[entry("other", None), ours]),
        ];
        for top in rows {
            assert_eq!(resolved(&top, &manifest).unwrap().digest, wanted, "{top}");
        }
    }

    #[test]
    fn other_documents_are_refused() {
        let manifest = manifest();
        let here = Platform::here().to_string();
        let others = [
            entry(&manifest, Some("windows/amd64")),
            entry(&manifest, Some("linux/s390x")),
            entry(&manifest, Some("unknown/unknown")),
        ];
        let for_others = format!("the image is for linux/s390x, windows/amd64, not for {here}");
        let rows = [
            (index(&others), &for_others[..]),
            (
                index(&[entry("promised", Some(&here))]),
                "a document of the image is damaged",
            ),
            (
                r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
                "the image has the format of Docker before 1.10",
            ),
            (
                r#"{"schemaVersion":2}"#.to_owned(),
                "the image's list of layers is not usable",
            ),
            (
                "<html>".to_owned(),
                "a document of the image cannot be understood",
            ),
            (
                r#"{"schemaVersion":2,"manifests":[{"digest":"md5:00"}]}"#.to_owned(),
                "a document of the image names unusable content",
            ),
        ];
        for (top, wanted) in rows {
            assert_eq!(resolved(&top, &manifest).unwrap_err(), wanted, "{top}");
        }
    }

    #[test]
    fn a_config_may_leave_out_most() {
        let Platform { os, architecture } = Platform::here();
        let platform = format!(r#""os":"{os}","architecture":"{architecture}""#);
        let full = format!(
            r#"{{{platform},"config":{{"Env":["A=b"],"User":"agent","WorkingDir":"/w","Entrypoint":["/e"],"Cmd":null,
            "Volumes":null,"Unknown":1}},"rootfs":{{"type":"layers","diff_ids":["{EMPTY}"]}},"history":[]}}"#
        );
        let config = Config::parse(full.as_bytes(), 1).unwrap();
        assert_eq!(config.image.env, ["A=b"]);
        assert_eq!(config.image.user, "agent");
        assert_eq!(config.image.working_dir, "/w");
        assert_eq!(
            (config.image.entrypoint.len(), config.image.cmd.len()),
            (1, 0)
        );
        assert!(matches!(
            Config::parse(full.as_bytes(), 2),
            Err(Error::Layers)
        ));

        let least = format!(r#"{{{platform},"rootfs":{{"diff_ids":null}}}}"#);
        let config = Config::parse(least.as_bytes(), 0).unwrap();
        assert_eq!(config.image, ImageConfig::default());
        let other = least.replace(&architecture, "s390x");
        assert!(matches!(
            Config::parse(other.as_bytes(), 0),
            Err(Error::Platform { .. })
        ));
    }
}
