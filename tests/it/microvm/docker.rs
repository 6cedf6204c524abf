//! A template with a Docker daemon: it is there when it is needed, and what it builds and runs gets out like everything.

use std::fs;

use super::Running;
use crate::origin::Origin;

/// An image of nothing but a few programs of the guest's own, since no registry can be asked.
const IMAGE: &str = r#"set -e
files=$(ldd /bin/sh /bin/sleep /usr/bin/curl /usr/bin/getent | grep -o '/[^ :]*' | sort -u)
tar --create --dereference --absolute-names $files | docker import - tiny"#;

#[test]
fn a_private_docker_daemon_builds_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello from outside\n").unwrap();
    let origin = Origin::serving(folder.path());
    let roots = origin.roots();
    let env = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    let vm = Running::start_with("docker", &env, &["--template", "shell-docker"]);
    let url = format!("https://host.docker.internal:{}/hello", origin.addr.port());
    let get = format!("curl -sS --fail --max-time 60 {url}");

    nothing_runs_before_it_is_needed(&vm);
    vm.ok_inside(IMAGE);
    configured(&vm);
    denied(&vm, &get);
    assert_eq!(origin.requests(), 0);
    vm.policy(&["--allow-host", &format!("localhost:{}", origin.addr.port())]);
    run(&vm, &get);
    build(&vm, &get);
    compose(&vm, &get);
    restarted(&vm);
}

fn nothing_runs_before_it_is_needed(vm: &Running) {
    assert_ne!(vm.inside("pgrep dockerd").code, 0);
    assert_eq!(
        vm.ok_inside("stat -c '%a %G' /var/run/docker.sock"),
        "660 agent\n"
    );
}

/// Without a setting of anybody's: storage on the data disk, the proxy of the sandbox.
fn configured(vm: &Running) {
    let told = vm.ok_inside("docker info --format '{{.Driver}} {{.HTTPSProxy}}'");
    assert_eq!(told, "overlay2 http://host.docker.internal:3128\n");
    let disk = "test $(stat -f -c %T /var/lib/docker) != overlayfs";
    vm.ok_inside(disk);
}

fn denied(vm: &Running, get: &str) {
    let denied = vm.inside(&format!("docker run --rm tiny {get}"));
    assert_ne!(denied.code, 0, "{denied:?}");
    assert!(denied.stderr.contains("access denied"), "{denied:?}");
}

fn run(vm: &Running, get: &str) {
    let hello = "hello from outside\n";
    assert_eq!(vm.ok_inside(&format!("docker run --rm tiny {get}")), hello);
    // A process that joins a container trusts the same.
    let script = format!(
        "docker run --detach --name kept tiny sleep 1000 >&2 && docker exec kept {get} && docker stop -t 0 kept >&2"
    );
    assert_eq!(vm.ok_inside(&script), hello);
}

/// Both of Docker's builders; what the build trusted is not in the image.
fn build(vm: &Running, get: &str) {
    let dockerfile = format!("FROM tiny\\nRUN {get} -o /fetched\\n");
    for buildkit in [0, 1] {
        let script = format!(
            "set -e; mkdir -p /tmp/b; printf '{dockerfile}' > /tmp/b/Dockerfile; \
             DOCKER_BUILDKIT={buildkit} docker build -q -t built{buildkit} /tmp/b >&2; \
             docker create --name from{buildkit} built{buildkit} sleep >&2; \
             docker cp from{buildkit}:/fetched -| tar -xO; \
             docker export from{buildkit} | tar -t | grep -i -e sandbox -e proxy-ca || true"
        );
        assert_eq!(vm.ok_inside(&script), "hello from outside\n", "{buildkit}");
    }
}

/// Containers that know each other by name, on a network of their own.
fn compose(vm: &Running, get: &str) {
    let file = format!(
        "services:\\n  peer:\\n    image: tiny\\n    command: sleep 1000\\n  \
         asker:\\n    image: tiny\\n    depends_on: [peer]\\n    command: sh -c \"getent hosts peer >&2 && {get}\"\\n"
    );
    let script = format!(
        "set -e; mkdir -p /tmp/c; cd /tmp/c; printf '{file}' > compose.yaml; docker compose run --rm -T asker; \
         docker compose down -t 0 >&2"
    );
    assert_eq!(vm.ok_inside(&script), "hello from outside\n");
}

/// Images and containers outlive the sandbox's restart, and a daemon that has some comes up by itself.
fn restarted(vm: &Running) {
    vm.ok(&["stop", vm.name]);
    vm.ok_inside("timeout 60 sh -c 'until pgrep -x dockerd; do sleep 0.1; done'");
    let told = vm.ok_inside("docker ps -a --format '{{.Names}}' | sort");
    assert_eq!(told, "from0\nfrom1\nkept\n");
}
