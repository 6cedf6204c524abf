use super::*;

#[test]
fn command_lines_of_docker_and_its_builder() {
    let container = |path: &str| {
        Some(ToChange {
            path: path.into(),
            what: What::Container,
        })
    };
    let process = |path: &str| {
        Some(ToChange {
            path: path.into(),
            what: What::Process,
        })
    };
    let rows = [
        // containerd's shim
        (
            "--root /run/r --log /l.json --log-format json create --bundle /b --pid-file /p 4f2a",
            container("/b/config.json"),
        ),
        (
            "--root /run/r --log /l --log-format json --systemd-cgroup create --bundle /b 4f2a",
            container("/b/config.json"),
        ),
        (
            "--root /run/r exec --process /tmp/p1 --detach --pid-file /x 4f2a",
            process("/tmp/p1"),
        ),
        ("--root /run/r start 4f2a", None),
        ("--root /run/r delete --force 4f2a", None),
        // buildkit
        (
            "--log /e/log.json --log-format json run --bundle /e/x --keep id",
            container("/e/x/config.json"),
        ),
        // by hand
        ("--debug run -b=/b name", container("/b/config.json")),
        ("--root=/r run name", container("./config.json")),
        ("exec -t name sh", None),
        ("--version", None),
        ("", None),
    ];
    for (line, wanted) in rows {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        assert_eq!(file_of(&args), wanted, "{line}");
    }
}

#[test]
fn a_container_gets_the_certificates_and_keeps_its_own_settings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {"args": ["sh"], "env": ["PATH=/bin", "PIP_CERT=/own.pem"]},
        "mounts": [{"destination": "/dev", "type": "tmpfs"}],
    });
    fs::write(&path, config.to_string()).unwrap();
    let what = What::Container;
    change(&ToChange {
        path: path.clone(),
        what,
    })
    .unwrap();
    let changed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mounts = changed["mounts"].as_array().unwrap();
    let destinations: Vec<_> = mounts.iter().map(|m| &m["destination"]).collect();
    assert_eq!(
        destinations,
        [
            "/dev",
            "/dev/.sandbox/ca-certificates.crt",
            "/dev/.sandbox/proxy-ca.crt"
        ]
    );
    assert_eq!(mounts[1]["source"], BUNDLE);
    let env = changed["process"]["env"].as_array().unwrap();
    for wanted in [
        "PATH=/bin",
        "PIP_CERT=/own.pem",
        "SSL_CERT_FILE=/dev/.sandbox/ca-certificates.crt",
        "NODE_EXTRA_CA_CERTS=/dev/.sandbox/proxy-ca.crt",
    ] {
        assert!(env.contains(&wanted.into()), "{wanted}: {env:?}");
    }
    let pip = env
        .iter()
        .filter(|one| one.as_str().unwrap().starts_with("PIP_CERT="));
    assert_eq!(pip.count(), 1);
}

#[test]
fn a_process_without_variables_gets_them() {
    let mut process = json!({"args": ["sh"]});
    change_process(&mut process);
    assert!(!process["env"].as_array().unwrap().is_empty());
    let mut nonsense = json!("?");
    change_process(&mut nonsense);
    assert_eq!(nonsense, json!("?"));
}
