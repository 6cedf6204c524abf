//! A policy file that holds no policy.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use proxy::{Options, Proxy, admin};
use rustix::process::geteuid;

use super::world;
use crate::support::world::deny;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_changes_nothing_and_is_told() {
    let (world, _canary, authority) = world(&deny(&["canary.test:PORT"])).await;
    fs::write(world.config_path(), "{\n  \"policy\": \"perhaps\"\n}").unwrap();
    let error = admin::reload(&world.admin()).unwrap_err().to_string();
    assert!(error.starts_with("proxy-config.json:2:13: "), "{error}");
    assert_eq!(world.get(&authority, "/").await.status, 200);
    let status = admin::status(&world.admin()).unwrap();
    assert_eq!(
        (status.generation, status.degraded),
        (1, Some(error.clone()))
    );
    let log = fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
    assert!(
        log.contains(r#""type":"config""#)
            && log.contains("config-invalid")
            && log.contains(":2:13: "),
        "{log}"
    );
    // Gone altogether: the same.
    fs::remove_file(world.config_path()).unwrap();
    assert!(admin::reload(&world.admin()).is_err());
    assert_eq!(world.get(&authority, "/").await.status, 200);
    // Whole again.
    world.set(&deny(&[]));
    assert_eq!(world.get(&authority, "/").await.status, 403);
    assert_eq!(admin::status(&world.admin()).unwrap().degraded, None);
}

/// F22: what can happen to the file leaves the last good policy in force, is told, and is over when the file is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_changes_nothing_and_a_whole_one_does() {
    type Damage = fn(&Path);
    let rows: &[(&str, Damage, &str)] = &[
        (
            "deleted",
            |path| fs::remove_file(path).unwrap(),
            "No such file",
        ),
        (
            "emptied",
            |path| fs::write(path, "").unwrap(),
            "proxy-config.json:1:1",
        ),
        (
            "cut",
            |path| fs::write(path, r#"{"policy":"allo"#).unwrap(),
            "proxy-config.json:1:",
        ),
        (
            "not text",
            |path| fs::write(path, [0xff, 0xfe]).unwrap(),
            "not UTF-8",
        ),
        (
            "a folder",
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "Is a directory",
        ),
        (
            "a link to itself",
            |path| {
                fs::remove_file(path).unwrap();
                symlink(path, path).unwrap();
            },
            "symbolic links",
        ),
        (
            "unreadable",
            |path| {
                fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
            },
            "Permission denied",
        ),
    ];
    let (world, _canary, authority) = world(&deny(&["canary.test:PORT"])).await;
    let path = world.config_path();
    for (number, (name, damage, told)) in rows.iter().enumerate() {
        // Root may read everything.
        if *told == "Permission denied" && geteuid().is_root() {
            continue;
        }
        world.set(&deny(&[&authority, &format!("n{number}.test")]));
        let generation = admin::status(&world.admin()).unwrap().generation;
        damage(&path);
        let error = admin::reload(&world.admin()).unwrap_err().to_string();
        assert!(error.contains(told), "{name}: {error}");
        assert_eq!(world.get(&authority, "/").await.status, 200, "{name}");
        let status = admin::status(&world.admin()).unwrap();
        assert_eq!(
            (status.generation, status.degraded),
            (generation, Some(error)),
            "{name}"
        );
        let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        removed.unwrap_or_default();
    }
    world.set(&deny(&[]));
    assert_eq!(world.get(&authority, "/").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_policy_there_is_no_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proxy-config.json");
    for content in [None, Some(""), Some("{"), Some(r#"{"policy":"maybe"}"#)] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let options = Options::new("s", &path, dir.path().join("ca"));
        assert!(Proxy::start(options).await.is_err(), "{content:?}");
    }
}
