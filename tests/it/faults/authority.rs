//! F23: the certificate authority of a sandbox is damaged or gone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn without_its_authority_a_sandbox_does_not_start_and_none_is_made_unasked() {
    type Damage = fn(&Path);
    let rows: &[(&str, Damage, &str)] = &[
        (
            "both gone",
            |dir| fs::remove_dir_all(dir).unwrap(),
            "holds no certificate authority",
        ),
        (
            "key gone",
            |dir| fs::remove_file(dir.join("proxy-ca.key")).unwrap(),
            "has no key beside it",
        ),
        (
            "certificate gone",
            |dir| fs::remove_file(dir.join("proxy-ca.crt")).unwrap(),
            "holds no certificate authority",
        ),
        (
            "key torn",
            |dir| fs::write(dir.join("proxy-ca.key"), "-----BEGIN").unwrap(),
            "is not a private key",
        ),
        (
            "certificate torn",
            |dir| fs::write(dir.join("proxy-ca.crt"), "").unwrap(),
            "is not a certificate authority",
        ),
        (
            "key readable",
            |dir| {
                fs::set_permissions(dir.join("proxy-ca.key"), Permissions::from_mode(0o640))
                    .unwrap()
            },
            "can be read by other users",
        ),
    ];
    let home = super::home();
    let dir = home.sandbox_dir("s").join("proxy_cacerts");
    for (name, damage, told) in rows {
        damage(&dir);
        let left = files(&dir);
        let ran = home.run(&["run", "--detached", "s"]);
        assert_eq!(ran.code, 1, "{name}: {ran:?}");
        assert!(ran.stderr.contains(told), "{name}: {ran:?}");
        assert!(
            ran.stderr.contains("network proxy s --renew-ca"),
            "{name}: {ran:?}"
        );
        assert_eq!(files(&dir), left, "{name}: nothing is made or repaired");
        let ran = home.run(&["network", "proxy", "s", "--renew-ca"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        let renewed = files(&dir);
        assert!(
            renewed.iter().all(Option::is_some) && renewed != left,
            "{name}"
        );
        proxy::ca::load(&dir).unwrap();
    }
}

fn files(dir: &Path) -> [Option<Vec<u8>>; 2] {
    ["proxy-ca.key", "proxy-ca.crt"].map(|file| fs::read(dir.join(file)).ok())
}
