use std::fs;

use wire::message::{Place, Seed, User};

use super::*;
use crate::files::under;

fn me() -> User {
    User {
        name: "agent".into(),
        // Giving files to somebody else takes root, who the tests may not be.
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        home: "/home/agent".into(),
    }
}

fn config() -> Configure {
    Configure {
        hostname: "box".into(),
        ca_pem: Some("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n".into()),
        env: vec![
            ("QUOTED".into(), "it's $HOME \"x\"".into()),
            ("PLAIN".into(), "a b".into()),
            ("odd.name".into(), "1".into()),
        ],
        user: me(),
        ..Configure::default()
    }
}

fn template() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for dir in ["etc/apt/apt.conf.d", "etc/sudoers.d", "etc/profile.d"] {
        fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    fs::write(root.path().join("etc/hosts"), "10.0.0.1 theirs\n").unwrap();
    fs::write(root.path().join("etc/environment"), "LANG=C.UTF-8\n").unwrap();
    root
}

fn read(root: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(under(root.path(), path)).unwrap()
}

#[test]
fn every_reader_gets_its_file() {
    let root = template();
    let env = write_files(root.path(), &config()).unwrap();
    assert!(env.contains(&("PLAIN".into(), "a b".into())));
    let hosts = read(&root, "/etc/hosts");
    assert!(hosts.starts_with("10.0.0.1 theirs\n"), "{hosts}");
    let names =
        "127.0.0.1 localhost box\n198.18.0.2 host.docker.internal gateway.docker.internal\n";
    assert!(hosts.contains(names), "{hosts}");
    let environment = read(&root, "/etc/environment");
    assert!(environment.starts_with("LANG=C.UTF-8\n"), "{environment}");
    assert!(environment.contains("\nHTTPS_PROXY=\"http://host.docker.internal:3128\"\n"));
    assert!(environment.contains("\nPLAIN=\"a b\"\n"));
    assert!(!environment.contains("QUOTED"), "pam_env cannot quote this");
    let apt = read(&root, "/etc/apt/apt.conf.d/90sandbox");
    assert!(apt.contains("\nAcquire::http::Proxy \"http://host.docker.internal:3128\";\n"));
    assert!(apt.contains("\nAcquire::https::CAInfo \"/etc/ssl/certs/ca-certificates.crt\";\n"));
    let sudoers = read(&root, "/etc/sudoers.d/sandbox-proxy");
    assert!(sudoers.contains("\nDefaults env_keep += \"https_proxy\"\n"));
    assert!(
        !sudoers.contains("odd.name"),
        "sudo would refuse the whole file"
    );
}

#[test]
fn a_second_start_changes_no_file() {
    let root = template();
    write_files(root.path(), &config()).unwrap();
    let first: Vec<_> = [
        "/etc/hosts",
        "/etc/environment",
        "/etc/passwd",
        "/etc/profile.d/sandbox.sh",
    ]
    .map(|path| read(&root, path))
    .into();
    write_files(root.path(), &config()).unwrap();
    let second: Vec<_> = [
        "/etc/hosts",
        "/etc/environment",
        "/etc/passwd",
        "/etc/profile.d/sandbox.sh",
    ]
    .map(|path| read(&root, path))
    .into();
    assert_eq!(first, second);
}

#[test]
fn a_shell_reads_the_profile_as_it_is_meant() {
    let root = template();
    write_files(root.path(), &config()).unwrap();
    let profile = under(root.path(), "/etc/profile.d/sandbox.sh");
    let script = format!(
        ". {} && printf '%s|%s' \"$QUOTED\" \"$no_proxy\"",
        profile.display()
    );
    let output = std::process::Command::new("sh")
        .args(["-ec", &script])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "it's $HOME \"x\"|localhost,127.0.0.1,::1");
}

#[test]
fn files_for_absent_programs_are_not_made() {
    let root = tempfile::tempdir().unwrap();
    write_files(root.path(), &config()).unwrap();
    assert!(!under(root.path(), "/etc/apt").exists());
    assert!(!under(root.path(), "/etc/sudoers.d").exists());
}

#[test]
fn the_user_is_added_or_found_or_refused() {
    let root = template();
    let passwd = under(root.path(), "/etc/passwd");
    user::ensure(root.path(), &me()).unwrap();
    let added = fs::read_to_string(&passwd).unwrap();
    let User { uid, gid, .. } = me();
    assert_eq!(added, format!("agent:x:{uid}:{gid}::/home/agent:/bin/sh\n"));
    assert!(under(root.path(), "/home/agent").is_dir());
    user::ensure(root.path(), &me()).unwrap();
    assert_eq!(fs::read_to_string(&passwd).unwrap(), added);
    let other = User {
        uid: uid + 1,
        ..me()
    };
    let error = user::ensure(root.path(), &other).unwrap_err();
    assert!(matches!(error, ConfigureError::OtherUser { .. }), "{error}");
    for name in ["", "a:b", "a\nb"] {
        let bad = User {
            name: name.into(),
            ..me()
        };
        let error = user::ensure(root.path(), &bad).unwrap_err();
        assert!(matches!(error, ConfigureError::BadUser(_)), "{error}");
    }
}

#[test]
fn the_way_to_a_share_is_passable_where_the_guest_may_change_it() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let root = tempfile::tempdir().unwrap();
    let closed = root.path().join("closed");
    fs::create_dir_all(closed.join("project")).unwrap();
    let mode = || fs::metadata(&closed).unwrap().mode() & 0o777;
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let own = fs::metadata(&closed).unwrap().dev();

    share::open_way(&closed.join("project"), own + 1).unwrap();
    assert_eq!(
        mode(),
        0o700,
        "a folder of another file system stays as it is"
    );
    share::open_way(&closed.join("project"), own).unwrap();
    assert_eq!(mode(), 0o711);
}

#[test]
fn seeds_give_way_to_what_is_there() {
    let root = template();
    let seed = |path: &str, content: &str, place| Seed {
        path: path.into(),
        content: content.into(),
        place,
    };
    fs::create_dir_all(root.path().join("home/agent/.claude")).unwrap();
    fs::write(root.path().join("home/agent/.claude.json"), "theirs").unwrap();
    std::os::unix::fs::symlink("/nowhere", root.path().join("home/agent/.link")).unwrap();
    fs::write(root.path().join("etc/gitconfig"), "[core]\n").unwrap();
    let config = Configure {
        seeds: vec![
            seed("~/.claude.json", "ours", Place::IfAbsent),
            seed("~/.link", "ours", Place::IfAbsent),
            seed("~/.codex/deep/config.toml", "ours", Place::IfAbsent),
            seed("/etc/gitconfig", "[user]\n", Place::Block),
        ],
        ..config()
    };
    write_files(root.path(), &config).unwrap();
    assert_eq!(read(&root, "/home/agent/.claude.json"), "theirs");
    assert!(fs::read_to_string(root.path().join("home/agent/.link")).is_err());
    assert_eq!(read(&root, "/home/agent/.codex/deep/config.toml"), "ours");
    let git = read(&root, "/etc/gitconfig");
    assert!(git.starts_with("[core]\n# >>> sandbox"), "{git}");
    assert!(git.contains("\n[user]\n"), "{git}");
    fs::write(
        under(root.path(), "/home/agent/.codex/deep/config.toml"),
        "edited",
    )
    .unwrap();
    write_files(root.path(), &config).unwrap();
    assert_eq!(read(&root, "/home/agent/.codex/deep/config.toml"), "edited");
    assert_eq!(read(&root, "/etc/gitconfig"), git);
}
