//! A small image with a bit of everything, as an OCI layout.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vmshim::image::oci::Digest;

/// The content of `opt/big`, which does not shrink.
pub(crate) fn big() -> Vec<u8> {
    let mut state = 7_u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..1 << 20).map(|_| noise()).collect()
}

/// Files that the finished template must have, and their content.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("bin/su", b"#!/bin/sh\n".to_vec()),
        ("bin/same", b"#!/bin/sh\n".to_vec()),
        (
            "etc/passwd",
            b"agent:x:1000:1000::/home/agent:/bin/sh\n".to_vec(),
        ),
        ("opt/big", big()),
        ("opt/dir/c", b"new\n".to_vec()),
        ("home/agent/notes", b"mine\n".to_vec()),
        ("usr/bin/ping", b"ping ".repeat(40_000)),
    ]
}

/// Paths that it must not have.
pub(crate) const ABSENT: [&str; 4] = [
    "opt/gone",
    "opt/dir/a",
    "opt/.wh.gone",
    "opt/dir/.wh..wh..opq",
];

enum Entry<'a> {
    Dir,
    File(&'a [u8]),
    Link(&'a str),
    Symlink(&'a str),
}

/// Path, entry, mode, owner.
type Row<'a> = (&'a str, Entry<'a>, u32, u64);

fn tar(rows: &[Row<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, entry, mode, owner) in rows {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(*owner);
        header.set_gid(*owner);
        header.set_mtime(1_700_000_000);
        header.set_size(0);
        match entry {
            Entry::Dir => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, path, &b""[..]).unwrap();
            }
            Entry::File(bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, *bytes).unwrap();
            }
            Entry::Link(target) => {
                header.set_entry_type(tar::EntryType::Link);
                builder.append_link(&mut header, path, target).unwrap();
            }
            Entry::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

/// A file with a capability, which only an extended header can say.
fn tar_with_capability(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let capability = &b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..];
    builder
        .append_pax_extensions([("SCHILY.xattr.security.capability", capability)])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, path, bytes).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A layout under construction.
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self {
            dir: dir.to_owned(),
            manifests: Vec::new(),
        }
    }

    /// Writes a blob and returns its descriptor.
    fn blob(&self, media: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.dir.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        let media = format!("application/vnd.oci.image.{media}");
        json!({"mediaType": media, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Adds an image of these layers: media type's ending, stored bytes, tar stream.
    pub(crate) fn add(&mut self, platform: &str, layers: &[(&str, Vec<u8>, Vec<u8>)]) {
        let (os, architecture) = platform.split_once('/').unwrap();
        let diff_ids: Vec<_> = layers
            .iter()
            .map(|(_, _, plain)| Digest::of(plain).to_string())
            .collect();
        let config = json!({
            "os": os, "architecture": architecture,
            "config": {
                "Env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"], "User": "agent",
                "WorkingDir": "/home/agent/workspace", "Entrypoint": ["/bin/sh"], "Cmd": ["-l"],
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.blob("config.v1+json", config.to_string().as_bytes());
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, stored, _)| self.blob(&format!("layer.v1.tar{kind}"), stored))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": layers,
        });
        let mut entry = self.blob("manifest.v1+json", manifest.to_string().as_bytes());
        entry["platform"] = json!({"os": os, "architecture": architecture});
        self.manifests.push(entry);
        self.write_index();
    }

    /// One image stands in the index itself, several in an index of their own, as packers do it.
    fn write_index(&self) {
        let media = "application/vnd.oci.image.index.v1+json";
        let list = |manifests: &[Value]| {
            let list = json!({"schemaVersion": 2, "mediaType": media, "manifests": manifests});
            list.to_string()
        };
        let top = match self.manifests.as_slice() {
            [one] => list(std::slice::from_ref(one)),
            several => list(&[self.blob("index.v1+json", list(several).as_bytes())]),
        };
        fs::write(self.dir.join("index.json"), top).unwrap();
    }
}

/// This machine's platform.
pub(crate) fn here() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

/// The layers of the image: stored with gzip, zstd and not compressed.
pub(crate) fn layers() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    use Entry::{Dir, File, Link, Symlink};
    let big = big();
    let base = tar(&[
        ("bin/", Dir, 0o755, 0),
        ("bin/su", File(b"#!/bin/sh\n"), 0o4755, 0),
        ("bin/same", Link("bin/su"), 0o4755, 0),
        ("etc/passwd", File(b"root:x:0:0::/root:/bin/sh\n"), 0o644, 0),
        ("home/agent/", Dir, 0o700, 1000),
        ("home/agent/notes", File(b"mine\n"), 0o600, 1000),
        ("opt/big", File(&big), 0o640, 70_000),
        ("opt/gone", File(b"gone\n"), 0o644, 0),
        ("opt/dir/a", File(b"old\n"), 0o644, 0),
        ("lib", Symlink("usr/lib"), 0o777, 0),
    ]);
    let middle = tar(&[
        ("opt/.wh.gone", File(b""), 0o644, 0),
        ("opt/dir/.wh..wh..opq", File(b""), 0o644, 0),
        ("opt/dir/c", File(b"new\n"), 0o644, 0),
        (
            "etc/passwd",
            File(b"agent:x:1000:1000::/home/agent:/bin/sh\n"),
            0o644,
            0,
        ),
    ]);
    let top = tar_with_capability("usr/bin/ping", &b"ping ".repeat(40_000));
    vec![
        ("+gzip", gzip(&base), base),
        ("+zstd", zstd(&middle), middle),
        ("", top.clone(), top),
    ]
}
