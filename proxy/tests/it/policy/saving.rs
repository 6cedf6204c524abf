//! A policy file that is saved while the proxy runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use proxy::admin;

use super::world;
use crate::support::soon;
use crate::support::world::deny;

/// However a file is saved, the change is seen, without anybody asking.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_saving_is_noticed() {
    type Save = fn(&Path, &str);
    let in_place: Save = |path, text| fs::write(path, text).unwrap();
    let rename_over: Save = |path, text| {
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let editor: Save = |path, text| {
        // vim with backup: move the old away, write the new, remove the old.
        fs::write(path.with_extension("json.swp"), "b0VIM").unwrap();
        fs::rename(path, path.with_extension("json~")).unwrap();
        fs::write(path, text).unwrap();
        fs::remove_file(path.with_extension("json~")).unwrap();
        fs::remove_file(path.with_extension("json.swp")).unwrap();
    };
    let delete_and_create: Save = |path, text| {
        fs::remove_file(path).unwrap();
        fs::write(path, text).unwrap();
    };
    let symlink_swap: Save = |path, text| {
        // Kubernetes: file -> ..data/file, ..data -> ..<time>, and ..data is swapped.
        let dir = path.parent().unwrap();
        let version = dir.join(format!("..{}", text.len()));
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("proxy-config.json"), text).unwrap();
        let (data, draft) = (dir.join("..data"), dir.join("..data_tmp"));
        symlink(&version, &draft).unwrap();
        fs::rename(&draft, &data).unwrap();
        if !path.is_symlink() {
            fs::remove_file(path).unwrap();
            symlink("..data/proxy-config.json", path).unwrap();
        }
    };
    let ways = [
        in_place,
        rename_over,
        editor,
        delete_and_create,
        symlink_swap,
        symlink_swap,
        in_place,
    ];
    let (world, _canary, authority) = world(&deny(&[])).await;
    for (number, save) in ways.iter().enumerate() {
        for (allowed, status) in [(vec![authority.as_str()], 200), (vec![], 403)] {
            save(&world.config_path(), &deny(&allowed));
            let saved = Instant::now();
            soon("the change", async {
                // The connection may be closed under the request by the very change.
                while world.try_get(&authority, "/").await != Some(status) {}
            })
            .await;
            assert!(
                saved.elapsed().as_millis() < 2000,
                "way {number}: {:?}",
                saved.elapsed()
            );
        }
    }
}

/// F22: a file that is saved faster than it is read ends in its last content.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_saves_holds() {
    let (world, _canary, authority) = world(&deny(&[])).await;
    let path = world.config_path();
    let saving = tokio::task::spawn_blocking(move || {
        // Far faster than a look at the file takes.
        for number in 0..1000 {
            let draft = path.with_extension("draft");
            fs::write(&draft, deny(&[&format!("h{number}.test")])).unwrap();
            fs::rename(&draft, &path).unwrap();
        }
        fs::write(&path, deny(&[&authority])).unwrap();
        authority
    });
    let authority = saving.await.unwrap();
    soon("the last policy", async {
        while world.try_get(&authority, "/").await != Some(200) {}
    })
    .await;
    assert_eq!(admin::status(&world.admin()).unwrap().degraded, None);
}
