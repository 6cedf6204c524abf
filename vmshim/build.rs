//! Builds the guest's init, a static program, and hands its path to `lib.rs` as `GUEST_INIT` and what
//! tells it from others as `GUEST_INIT_ID`.

use std::env;
use std::error::Error;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the guest is made of, relative to this package.
const SOURCES: [&str; 5] = [
    "guest",
    "wire",
    "../Cargo.lock",
    "../Cargo.toml",
    "../rust-toolchain.toml",
];

fn main() -> Result<()> {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let program = build_guest()?;
    println!("cargo::rustc-env=GUEST_INIT={}", program.display());
    println!(
        "cargo::rustc-env=GUEST_INIT_ID={:016x}",
        fingerprint(&program)?
    );
    Ok(())
}

/// Tells one build of the program from the next, so that no start needs to look through it. Not against forgers: the
/// program is part of this one.
fn fingerprint(program: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(program)?);
    Ok(hasher.finish())
}

/// Runs cargo within cargo. It has a target directory of its own, because the outer cargo holds the
/// lock of the usual one until this script has ended.
fn build_guest() -> Result<PathBuf> {
    let target = env::var("TARGET")?;
    let target_dir = Path::new(&env::var("OUT_DIR")?).join("guest");
    let manifest = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("guest/Cargo.toml");
    let mut cargo = Command::new(env::var("CARGO")?);
    forget_outer_cargo(&mut cargo);
    let status = cargo
        .args([
            "build",
            "--release",
            "--locked",
            "--bin",
            "guest",
            "--target",
            &target,
        ])
        // Small, because it is copied into the memory of every sandbox.
        .args(["--config", "profile.release.opt-level='s'"])
        .args(["--config", "profile.release.lto='fat'"])
        .args(["--config", "profile.release.codegen-units=1"])
        .args(["--config", "profile.release.strip='symbols'"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target_dir)
        // With --target these reach only the guest, not the build scripts of its dependencies.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .status()?;
    if !status.success() {
        return Err("the guest's init does not build; cargo's messages are above".into());
    }
    Ok(target_dir.join(target).join("release").join("guest"))
}

/// Keeps clippy, coverage and sanitizer settings of the outer build out of the inner one. What says
/// where crates come from, and the job server, stay.
fn forget_outer_cargo(cargo: &mut Command) {
    let keep = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let ours = name.starts_with("CARGO_") && !keep.iter().any(|kept| name.starts_with(kept));
        if ours || name == "RUSTFLAGS" || name.starts_with("RUSTC_") {
            cargo.env_remove(name);
        }
    }
}
