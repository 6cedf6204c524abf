//! A file tree as an image that `docker load`, Podman and [`super::import_archive`] read.

use std::fs::File;
use std::io::{self, Seek, Write};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::manifest::Platform;

/// Takes a layer's tar stream, then becomes an archive of one image.
pub struct Export<W> {
    layer: W,
    hash: Sha256,
}

impl<W: Write> Export<W> {
    /// The layer's bytes go to `layer` first.
    pub fn new(layer: W) -> Self {
        Self {
            layer,
            hash: Sha256::new(),
        }
    }

    /// The layer's file and its digest.
    pub fn finish(self) -> (W, Digest) {
        (self.layer, Digest::of_hash(self.hash))
    }
}

impl<W: Write> Write for Export<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.layer.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.layer.flush()
    }
}

/// Writes the archive of an image called `name` with the one `layer`, whose digest is `diff_id`.
///
/// The format is `docker save`'s (Docker Image Specification v1.2), which every engine reads.
pub fn write_archive(
    name: &str,
    mut layer: File,
    diff_id: &Digest,
    user: &str,
    archive: impl Write,
) -> io::Result<()> {
    let Platform { os, architecture } = Platform::here();
    let config = json!({
        "os": os,
        "architecture": architecture,
        "config": { "User": user, "Cmd": ["/bin/bash"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
        "history": [{ "created_by": "sandbox save" }],
    })
    .to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let layer_name = format!("{}/layer.tar", diff_id.hex());
    let manifest = json!([
        { "Config": config_name, "RepoTags": [name], "Layers": [layer_name] }
    ])
    .to_string();
    let mut tar = tar::Builder::new(archive);
    document(&mut tar, "manifest.json", &manifest)?;
    document(&mut tar, &config_name, &config)?;
    layer.rewind()?;
    let size = layer.metadata()?.len();
    tar.append_data(&mut header(size), &layer_name, layer)?;
    tar.into_inner()?.flush()
}

fn document(tar: &mut tar::Builder<impl Write>, name: &str, text: &str) -> io::Result<()> {
    let size = u64::try_from(text.len()).map_err(io::Error::other)?;
    tar.append_data(&mut header(size), name, text.as_bytes())
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::image::oci;
    use crate::progress::Silent;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut export = Export::new(tempfile::tempfile().unwrap());
        let mut tree = tar::Builder::new(&mut export);
        document(&mut tree, "./etc/motd", "hello").unwrap();
        tree.into_inner().unwrap();
        let (layer, diff_id) = export.finish();
        let path = dir.path().join("saved.tar");
        write_archive(
            "mine:v1",
            layer,
            &diff_id,
            "agent",
            File::create(&path).unwrap(),
        )
        .unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let template = oci::import_archive(&cache, &path, &Silent).unwrap();
        assert_eq!(template.config.user, "agent");
        assert!(template.root.is_file());
    }
}
