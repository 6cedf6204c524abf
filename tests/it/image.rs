//! The smallest image that a template can be made of, for tests that boot nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes what `docker save` would write for an image of one empty file into `dir`.
pub(crate) fn tiny(dir: &Path) -> PathBuf {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    fs::write(at("empty"), "").unwrap();
    tar(work.path(), &at("layer.tar"), &["empty"]);
    let sum = Command::new("sha256sum")
        .arg(at("layer.tar"))
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let digest = sum.split(' ').next().unwrap();
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    fs::write(at("config.json"), config.to_string()).unwrap();
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": ["tiny:latest"], "Layers": ["layer.tar"] }
    ]);
    fs::write(at("manifest.json"), manifest.to_string()).unwrap();
    let image = dir.join("tiny.tar");
    tar(
        work.path(),
        &image,
        &["manifest.json", "config.json", "layer.tar"],
    );
    image
}

fn tar(dir: &Path, archive: &Path, names: &[&str]) {
    let mut tar = Command::new("tar");
    // The same bytes each time, so that all tests share one template.
    tar.args(["--mtime=@0", "--owner=0", "--group=0", "--mode=644"]);
    tar.arg("-cf").arg(archive).arg("-C").arg(dir).args(names);
    assert!(tar.status().unwrap().success());
}
