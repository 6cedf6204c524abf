//! What a developer relies on in a shared folder, and what the caller keeps out of it. One VM for all, and one container.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "clippy's leave for tests does not reach their helpers"
)]

#[path = "workspace/edits.rs"]
mod edits;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use support::{Loud, Sandbox, sh};
use vmshim::cache::Cache;
use vmshim::client::Client;
use vmshim::spec::{Isolation, Publish, Share};
use vmshim::{GUEST_INIT, kernel};

#[tokio::test]
async fn a_workspace_is_shared_and_what_is_hidden_is_not() {
    let mut sandbox = with_secrets();
    let folder = sandbox.workspace.clone();
    let single = single_files(&mut sandbox);
    let (client, status) = sandbox.start().await;

    hidden_files(&client, &folder).await;
    another_folder(&client).await;
    files_alone(&client, &single).await;
    both_sides(&client, &folder).await;
    edits::are_heard_of(&client, &folder).await;
    edits::are_not_written_past(&client, &folder).await;
    names_modes_and_links(&client, &folder).await;
    large_files(&client, &folder).await;
    let [published] = status.published[..] else {
        panic!("{status:?}");
    };
    published_port(&client, published).await;
    a_server_of_a_folder_is_killed(&mut sandbox, &folder).await;
    TcpStream::connect(published.host).unwrap_err();
}

/// The same rows. What goes wrong with a file alone is the kernel's own, which has bound it.
#[tokio::test]
async fn a_containers_workspace_is_shared_and_what_is_hidden_is_not() {
    let mut sandbox = with_secrets();
    let folder = sandbox.workspace.clone();
    sandbox.spec.isolation = Isolation::Container;
    if fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_err()
    {
        sandbox.spawn();
        let (success, said) = sandbox.wait();
        assert!(
            !success && said.contains("`/dev/fuse` cannot be opened"),
            "{said}"
        );
        return;
    }
    let (client, _) = sandbox.start().await;

    hidden_files(&client, &folder).await;
    another_folder(&client).await;
    both_sides(&client, &folder).await;
    edits::are_heard_of(&client, &folder).await;
    edits::are_not_written_past(&client, &folder).await;
    names_modes_and_links(&client, &folder).await;
    large_files(&client, &folder).await;
    a_server_of_a_folder_is_killed(&mut sandbox, &folder).await;
}

/// From Linux 6.12 on a kernel may leave out as whom it asks, and then a file that init pretends to remove is removed. Told
/// by a kernel beside the ordinary one, which is older on some distributions.
#[tokio::test]
async fn a_newer_kernels_programs_hear_of_the_hosts_edits() {
    let dir = tempfile::tempdir().unwrap();
    let Some(package) = newer_kernel() else {
        println!("apt knows no such kernel here");
        return;
    };
    run(
        dir.path(),
        "apt-get",
        &["download", "-qoAPT::Sandbox::User=root", &package],
    );
    let archive = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
    run(
        dir.path(),
        "dpkg-deb",
        &["-x", archive.path().to_str().unwrap(), "."],
    );

    let mut sandbox = Sandbox::prepare();
    // In the cache of all it would be the kernel of all.
    let cache = Cache::new(dir.path().join("cache"));
    let kernel = kernel::ensure(&cache, Some(dir.path()), &Loud).unwrap();
    sandbox.spec.initramfs = kernel::initramfs(&cache, &kernel, GUEST_INIT).unwrap();
    sandbox.spec.kernel = kernel.image();
    let folder = sandbox.workspace.clone();
    let (client, _) = sandbox.start().await;
    assert!(ok(&client, &folder, "uname -r").await.starts_with("6.12."));
    edits::are_heard_of(&client, &folder).await;
    edits::are_not_written_past(&client, &folder).await;
}

/// The package that this one only points to.
fn newer_kernel() -> Option<String> {
    let mut command = Command::new("apt-cache");
    command.args(["depends", "--important", "linux-image-6.12-cloud-amd64"]);
    let depends = String::from_utf8(command.output().ok()?.stdout).unwrap();
    let mut lines = depends.lines();
    let package = lines.find_map(|line| line.trim().strip_prefix("Depends: "))?;
    Some(package.to_owned())
}

fn run(dir: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

/// A sandbox with two folders, something in each hidden, and a published port.
fn with_secrets() -> Sandbox {
    let mut sandbox = Sandbox::prepare();
    let folder = sandbox.workspace.clone();
    repository(&folder);
    keep_secrets(&folder);
    let read_only = sandbox.spec.state_dir.join("docs");
    fs::create_dir(&read_only).unwrap();
    fs::write(read_only.join("page"), "read me\n").unwrap();
    fs::write(read_only.join(".env"), "hidden here, too\n").unwrap();
    let hide = [".env", "secrets/", "config/*.key"].map(str::to_owned);
    for share in &mut sandbox.spec.shares {
        share.hide = hide.to_vec();
    }
    sandbox.spec.shares.push(Share {
        host: read_only,
        file: false,
        guest: "/srv/docs".into(),
        read_only: true,
        hide: hide.to_vec(),
    });
    sandbox.spec.publish = vec![Publish {
        host: "127.0.0.1:0".parse().unwrap(),
        guest_port: 8000,
    }];
    sandbox
}

/// Runs a script in the workspace; it must succeed.
async fn ok(client: &Client, folder: &Path, script: &str) -> String {
    let (exit, said) = sh(client, &format!("cd '{}' && {script}", folder.display())).await;
    assert_eq!(exit.shell_code(), 0, "{script}: {said}");
    said
}

fn keep_secrets(folder: &Path) {
    for dir in ["secrets", "config", "src"] {
        fs::create_dir(folder.join(dir)).unwrap();
    }
    for (file, text) in [
        (".env", "TOKEN=1\n"),
        ("src/.env", "TOKEN=2\n"),
        ("secrets/a", "3\n"),
        ("config/tls.key", "4\n"),
        ("config/tls.crt", "public\n"),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
}

/// Not found, not listed, not made, not brought within reach; unharmed on the host.
async fn hidden_files(client: &Client, folder: &Path) {
    let listed = ok(
        client,
        folder,
        "find . -path ./.git -prune -o -print | sort | tr '\\n' ' '",
    )
    .await;
    assert_eq!(listed, ". ./config ./config/tls.crt ./readme ./src ");
    for refused in [
        "cat .env",
        "sudo -n cat src/.env",
        "cat secrets/a",
        "ls secrets",
        "touch .env",
        "mkdir secrets",
        "echo x > config/new.key",
        "mv readme .env",
        "ln readme src/.env",
        "ln -s /etc/passwd .env",
        "mkfifo src/.env",
        "rm -f .env && test -e .env",
        "mv config elsewhere",
        "sudo -n mv config elsewhere",
    ] {
        let script = format!("cd '{}' && {refused}", folder.display());
        let (exit, said) = sh(client, &script).await;
        assert_ne!(exit.shell_code(), 0, "{refused}: {said}");
    }
    // A folder that no pattern leads through can be renamed; what is hidden in it stays hidden.
    ok(
        client,
        folder,
        "mv src source && ! cat source/.env && mv source src",
    )
    .await;
    ok(
        client,
        folder,
        "mkdir made && mv made made2 && touch made2/x && ! touch made2/.env",
    )
    .await;
    ok(client, folder, "rm -r made2").await;
    // Saved by renaming, as editors do, and made only now.
    fs::write(folder.join("beside"), "TOKEN=1\n").unwrap();
    fs::rename(folder.join("beside"), folder.join(".env")).unwrap();
    fs::write(folder.join("config/late.key"), "5\n").unwrap();
    let late = "! cat .env 2>&1 && ! cat config/late.key 2>&1 && ls -A config";
    let said = ok(client, folder, late).await;
    assert!(
        said.ends_with("\ntls.crt\n") && !said.contains("TOKEN"),
        "{said}"
    );
    for (file, text) in [
        (".env", "TOKEN=1\n"),
        ("src/.env", "TOKEN=2\n"),
        ("config/tls.key", "4\n"),
    ] {
        assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), text);
    }
}

/// A folder at another path, read-only.
async fn another_folder(client: &Client) {
    let docs = Path::new("/srv/docs");
    assert_eq!(
        ok(client, docs, "ls -A && cat page").await,
        "page\nread me\n"
    );
    for refused in ["touch page", "touch new", "rm page", "chmod 777 page"] {
        let (exit, said) = sh(client, &format!("cd /srv/docs && sudo -n {refused}")).await;
        assert_ne!(exit.shell_code(), 0, "{refused}: {said}");
    }
}

/// Two files of one folder, of which nothing else may be seen. Returns the folder.
fn single_files(sandbox: &mut Sandbox) -> PathBuf {
    let folder = sandbox.spec.state_dir.join("single");
    fs::create_dir(&folder).unwrap();
    for (name, guest, read_only) in [
        ("app.conf", "/srv/etc/app.conf", false),
        ("key", "/home/agent/.key", true),
    ] {
        fs::write(folder.join(name), format!("{name} of the host\n")).unwrap();
        sandbox.spec.shares.push(Share {
            host: folder.join(name),
            file: true,
            guest: guest.into(),
            read_only,
            hide: Vec::new(),
        });
    }
    fs::write(folder.join("neighbour"), "of no concern").unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
    folder
}

/// Each is one file to the guest, whatever its root tries, and its folder on the host is left alone.
async fn files_alone(client: &Client, folder: &Path) {
    let etc = Path::new("/srv/etc");
    let said = ok(client, etc, "ls -A && cat app.conf /home/agent/.key").await;
    assert_eq!(said, "app.conf\napp.conf of the host\nkey of the host\n");
    ok(
        client,
        etc,
        "echo by the guest >> app.conf && chmod 600 app.conf",
    )
    .await;
    fs::write(folder.join("key"), "a longer key of the host\n").unwrap();
    // The guest's kernel believes the old length for up to a second.
    let later = "for i in $(seq 50); do grep -x '.* of the host' /home/agent/.key | grep longer && break; sleep 0.1; done";
    assert_eq!(ok(client, etc, later).await, "a longer key of the host\n");
    for refused in [
        "echo x > /home/agent/.key",
        "sudo -n sh -c 'echo x > /home/agent/.key'",
        "sudo -n rm app.conf",
        "sudo -n sh -c 'echo x > new && mv new app.conf'",
    ] {
        let (exit, said) = sh(client, &format!("cd /srv/etc && {refused}")).await;
        assert_ne!(exit.shell_code(), 0, "{refused}: {said}");
    }
    // What the guest's root finds behind its mounts.
    for (tag, writes) in [("fs2", true), ("fs3", false)] {
        let script = format!("sudo -n mount -t virtiofs {tag} /mnt && ls -A /mnt");
        assert_eq!(ok(client, etc, &script).await, "file\n");
        for refused in [
            "touch /mnt/new",
            "mkdir /mnt/new",
            "chmod 777 /mnt",
            "rm -f /mnt/file && test ! -e /mnt/file",
            "mv /mnt/file /mnt/other",
            "ln /mnt/file /mnt/other",
            "cat /mnt/../neighbour",
        ] {
            let script = format!("sudo -n sh -c '{refused}'");
            let (exit, said) = sh(client, &script).await;
            assert_ne!(exit.shell_code(), 0, "{tag}: {refused}: {said}");
        }
        let (exit, said) = sh(client, "sudo -n sh -c 'echo again >> /mnt/file'").await;
        assert_eq!(exit.shell_code() == 0, writes, "{tag}: {said}");
        ok(client, etc, "sudo -n umount /mnt").await;
    }
    let conf = fs::read_to_string(folder.join("app.conf")).unwrap();
    assert_eq!(conf, "app.conf of the host\nby the guest\nagain\n");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(folder), mode(&folder.join("app.conf"))),
        (0o750, 0o600)
    );
    assert_eq!(fs::read_dir(folder).unwrap().count(), 3);
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn repository(folder: &Path) {
    fs::write(folder.join("readme"), "one\n").unwrap();
    git(folder, &["init", "-q", "-b", "main"]);
    git(folder, &["add", "readme"]);
    git(folder, &["commit", "-q", "-m", "One"]);
    fs::write(
        folder.join(".git/info/exclude"),
        ".env\nsecrets\nconfig\nsrc\n",
    )
    .unwrap();
}

/// git agrees on both sides after edits on either, commits of either included.
async fn both_sides(client: &Client, folder: &Path) {
    let status = "git status --porcelain=v1";
    assert_eq!(ok(client, folder, status).await, "");
    ok(client, folder, "echo two >> readme && echo new > inside").await;
    let wanted = " M readme\n?? inside\n";
    assert_eq!(git(folder, &["status", "--porcelain=v1"]), wanted);
    assert_eq!(ok(client, folder, status).await, wanted);
    fs::write(folder.join("outside"), "new\n").unwrap();
    fs::write(folder.join("readme"), "three\n").unwrap();
    let wanted = " M readme\n?? inside\n?? outside\n";
    assert_eq!(ok(client, folder, status).await, wanted);
    let commit = "git -c user.name=A -c user.email=a@example.com commit -q -a -m Two";
    ok(client, folder, commit).await;
    assert_eq!(git(folder, &["log", "--format=%s"]), "Two\nOne\n");
    git(folder, &["fsck", "--strict"]);
    git(folder, &["checkout", "-q", "HEAD~1"]);
    // Seen within the second that the guest may believe its cache: the file, and git's own.
    assert_eq!(ok(client, folder, "sleep 1.1; cat readme").await, "one\n");
    assert_eq!(ok(client, folder, status).await, "?? inside\n?? outside\n");
}

/// Files of more than one request, read and written whole on either side.
async fn large_files(client: &Client, folder: &Path) {
    let text: Vec<u8> = (0..3 << 20).flat_map(u32::to_le_bytes).collect();
    // Put there whole: for a second the guest may believe the size that it saw while the file grew.
    let draft = folder.parent().unwrap().join("draft");
    fs::write(&draft, &text).unwrap();
    fs::rename(&draft, folder.join("large")).unwrap();
    let script = "cat large > copy && dd if=large of=slowly bs=777777 status=none && \
         tail -c 1000000 large > end && rm large";
    ok(client, folder, script).await;
    for (name, wanted) in [
        ("copy", &text[..]),
        ("slowly", &text),
        ("end", &text[text.len() - 1_000_000..]),
    ] {
        let found = fs::read(folder.join(name)).unwrap();
        let same = found.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        assert_eq!((found.len(), same), (wanted.len(), wanted.len()), "{name}");
    }
    ok(client, folder, "rm copy slowly end").await;
}

/// The sandbox ends with it, and says why: QEMU can't be given another server.
async fn a_server_of_a_folder_is_killed(sandbox: &mut Sandbox, folder: &Path) {
    let marker = format!("\"dir\":\"{}\"", folder.display());
    let servers = support::processes_with(&marker);
    assert!(!servers.is_empty(), "{marker}");
    for server in servers {
        let server = Pid::from_raw(i32::try_from(server).unwrap()).unwrap();
        let _ = kill_process(server, Signal::KILL); // one of a pair takes the other with it
    }
    let (success, said) = sandbox.wait();
    let wanted = format!(
        "the server of the shared folder `{}` ended",
        folder.display()
    );
    assert!(!success && said.starts_with(&wanted), "{said}");
    sandbox.assert_no_process_left().await;
}

async fn names_modes_and_links(client: &Client, folder: &Path) {
    let script = "mkdir t && cd t && echo x > case && echo y > Case && echo z > 'n\u{fc}\u{2603}' && \
         printf '#!/bin/sh\\necho ran\\n' > run && chmod 755 run && ./run && chmod 640 case && \
         ln -s case link && ln -s /nonexistent/abs broken && ln case hard && mkdir -p a/b/c && mv a d";
    assert_eq!(ok(client, folder, script).await, "ran\n");
    let there = folder.join("t");
    let read = |name: &str| fs::read_to_string(there.join(name)).unwrap();
    assert_eq!(
        (read("case"), read("Case"), read("n\u{fc}\u{2603}")),
        ("x\n".into(), "y\n".into(), "z\n".into())
    );
    let mode = |name: &str| fs::metadata(there.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("run"), mode("case"), mode("hard")),
        (0o755, 0o640, 0o640)
    );
    assert_eq!(
        fs::read_link(there.join("broken")).unwrap(),
        Path::new("/nonexistent/abs")
    );
    assert!(there.join("d/b/c").is_dir() && read("link") == "x\n");
    // The host's changes of mode and kind, seen within the second that the guest may believe its cache.
    fs::set_permissions(there.join("run"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(there.join("case")).unwrap();
    fs::create_dir(there.join("case")).unwrap();
    let script = "sleep 1.1; cd t; test ! -x run && test -d case && test -d link && cat hard";
    assert_eq!(ok(client, folder, script).await, "x\n");
    // Many files at once: one listing sees them all.
    fs::create_dir(there.join("many")).unwrap();
    for n in 0..2000 {
        fs::write(there.join(format!("many/{n}")), "").unwrap();
    }
    assert_eq!(
        ok(client, folder, "ls t/many | wc -l && rm -r t").await,
        "2000\n"
    );
    assert!(!there.exists());
}

/// Refused while nothing listens inside; then connections arrive whole.
async fn published_port(client: &Client, published: Publish) {
    assert_eq!(published.guest_port, 8000);
    let ask = move || {
        let mut stream = TcpStream::connect(published.host)?;
        stream.write_all(b"GET /page HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let refused = tokio::task::spawn_blocking(ask).await.unwrap();
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    let serve = "cd /srv/docs && (python3 -m http.server --bind 127.0.0.1 8000 >/dev/null 2>&1 &) && \
         until curl -s --noproxy '*' -o /dev/null http://127.0.0.1:8000/; do :; done";
    let (exit, said) = sh(client, serve).await;
    assert_eq!(exit.shell_code(), 0, "{said}");
    let answer = tokio::task::spawn_blocking(ask).await.unwrap().unwrap();
    assert!(answer.ends_with("\r\n\r\nread me\n"), "{answer}");
}
