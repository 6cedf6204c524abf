//! Real clients, unmodified, through interception, each against its own configured registry.
//!
//! No registry's name is written here: each client is asked for the hosts that it is configured for.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Running;
use crate::origin::Origin;

#[test]
fn clients_work_where_allowed_and_fail_clearly_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path());
    let origin = Origin::serving(folder.path());
    let roots = origin.roots();
    let vm = Running::start("clients", &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
    let port = origin.addr.port();

    apt(&vm);
    pip(&vm);
    curl(&vm);
    git(&vm, port);
    npm(&vm);
}

/// `try_it` fails readably within seconds, and works once `hosts` are allowed exactly.
fn denied_then_allowed(vm: &Running, try_it: &str, hosts: &[String]) -> String {
    let asked = Instant::now();
    let denied = vm.inside(try_it);
    assert_ne!(denied.code, 0, "{try_it}: {denied:?}");
    let took = asked.elapsed();
    // Denied requests fail within five seconds; emulated, the client's own start takes longer.
    let patience = if vm.is_emulated() { 120 } else { 5 };
    assert!(
        took < Duration::from_secs(patience),
        "{try_it} took {took:?} to fail"
    );
    let told = format!("{}{}", denied.stdout, denied.stderr);
    assert!(told.contains("403"), "{try_it} does not say why: {told}");
    for host in hosts {
        vm.policy(&["--allow-host", host]);
    }
    vm.ok_inside(try_it)
}

/// `host:port` of each URL.
fn authorities<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut hosts: Vec<String> = urls
        .filter_map(|url| {
            let (scheme, rest) = url.split_once("://")?;
            let host = rest.split(['/', '?', '#']).next()?;
            let port = if scheme == "http" { 80 } else { 443 };
            let explicit = host.contains(':');
            Some(if explicit {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            })
        })
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn apt(vm: &Running) {
    let uris = vm.ok_inside("apt-get indextargets --no-release-info --format '$(SITE)'");
    let hosts = authorities(uris.lines());
    assert!(!hosts.is_empty(), "{uris}");
    // A failed download is an error only if one says so.
    let update = "sudo apt-get update -q -o APT::Update::Error-Mode=any -o Acquire::Retries=0 2>&1";
    denied_then_allowed(vm, update, &hosts);
}

fn pip(vm: &Running) {
    let index = vm.ok_inside(
        "python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)'",
    );
    let index = index.trim().to_owned();
    // The files may be on another host than the index, which names it.
    vm.policy(&[
        "--allow-host",
        &authorities([index.as_str()].into_iter())[0],
    ]);
    let page = vm.ok_inside(&format!("curl -sS --fail {index}/six/"));
    let mut hosts = authorities(page.split('"').filter(|part| part.starts_with("https://")));
    vm.policy(&[
        "--remove-host",
        &authorities([index.as_str()].into_iter())[0],
    ]);
    hosts.extend(authorities([index.as_str()].into_iter()));
    let download = "pip download --progress-bar off --retries 1 --no-deps --no-cache-dir -d /tmp/wheels six 2>&1";
    denied_then_allowed(vm, download, &hosts);
    assert!(vm.ok_inside("ls /tmp/wheels").contains("six-"));
}

fn curl(vm: &Running) {
    let index = vm.ok_inside(
        "python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)'",
    );
    let index = index.trim();
    let host = &authorities([index].into_iter())[0];
    vm.policy(&["--remove-host", host]);
    let get = format!("curl -sS --fail --max-time 60 -o /tmp/page {index}/six/");
    denied_then_allowed(vm, &get, std::slice::from_ref(host));
}

fn git(vm: &Running, port: u16) {
    let clone = format!(
        "rm -rf /tmp/clone; git -c http.proxy=http://host.docker.internal:3128 \
         clone -q https://localhost:{port}/project.git /tmp/clone 2>&1"
    );
    // git's own list of hosts to reach without a proxy has `localhost` in it.
    let clone = format!("export no_proxy= NO_PROXY=; {clone}");
    denied_then_allowed(vm, &clone, &[format!("localhost:{port}")]);
    assert_eq!(vm.ok_inside("cat /tmp/clone/file"), "committed\n");
}

/// Node from the distribution. Debian's `npm` is four hundred packages, a quarter of an hour under
/// emulation: its one package only tells the registry, and npm comes from there as npm itself ships.
fn npm(vm: &Running) {
    vm.ok_inside("sudo apt-get install -y -q --no-install-recommends nodejs 2>&1");
    vm.ok_inside("cd /tmp && apt-get download -q npm 2>&1 && dpkg -x npm_*.deb debian-npm");
    let registry = vm.ok_inside(
        "grep -rhoE 'https://registry[a-z./]*' /tmp/debian-npm/usr/share/nodejs/npm/lib | head -1",
    );
    let registry = registry.trim().trim_end_matches('/');
    let hosts = authorities([registry].into_iter());
    let tarball = format!("curl -sS --fail {registry}/npm/-/npm-9.9.4.tgz -o /tmp/npm.tgz");
    denied_then_allowed(vm, &tarball, &hosts);
    vm.ok_inside("mkdir /tmp/npm && tar -xzf /tmp/npm.tgz -C /tmp/npm --strip-components=1");
    vm.policy(&["--remove-host", &hosts[0]]);
    let pack = "cd /tmp && node npm/bin/npm-cli.js pack --fetch-retries=0 is-number@7.0.0 2>&1";
    denied_then_allowed(vm, pack, &hosts);
    assert!(vm.ok_inside("ls /tmp").contains("is-number-7.0.0.tgz"));
}

/// A bare repository that any file server can serve.
fn repository(folder: &Path) {
    let work = folder.join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("file"), "committed\n").unwrap();
    let run = |args: &[&str], dir: &Path| {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
        let done = Command::new("git")
            .args(identity)
            .args(args)
            .current_dir(dir)
            .output();
        let done = done.unwrap();
        assert!(done.status.success(), "git {args:?}: {done:?}");
    };
    run(&["init", "-q", "-b", "main"], &work);
    run(&["add", "."], &work);
    run(&["commit", "-q", "-m", "One file"], &work);
    run(&["clone", "-q", "--bare", "work", "project.git"], folder);
    run(&["update-server-info"], &folder.join("project.git"));
}
