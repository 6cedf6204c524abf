//! A real registry on loopback, and an unreliable way to it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use vmshim::tool::Tool;

const REGISTRY: Tool = Tool {
    program: "docker-registry",
    package: "docker-registry",
};
pub(crate) const SKOPEO: Tool = Tool {
    program: "skopeo",
    package: "skopeo",
};

/// `me` with the password `secret`.
const HTPASSWD: &str = "me:$2b$04$4ADq7L.AmWpQx97iIk.JJuoWUMxaxOqiX7eVs4vGl7Jp8FitmRtzy\n";

/// A running registry with storage of its own.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    process: Child,
    dir: TempDir,
}

impl Registry {
    pub(crate) fn open() -> Self {
        Self::start("")
    }

    /// One that wants a password.
    pub(crate) fn closed() -> Self {
        Self::start("auth: {htpasswd: {realm: test, path: DIR/htpasswd}}\n")
    }

    fn start(auth: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: DIR/store}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n{auth}"
        );
        let path = dir.path().join("config.yml");
        fs::write(
            &path,
            config.replace("DIR", &dir.path().display().to_string()),
        )
        .unwrap();
        let mut process = REGISTRY
            .command()
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("install it with `apt-get install docker-registry skopeo`");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the registry ended");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split('"').next().unwrap().parse().unwrap();
            }
        };
        // It must not block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            address,
            process,
            dir,
        }
    }

    /// Copies an image in with skopeo, which checks it for us too.
    pub(crate) fn push(&self, layout: &Path, name: &str) {
        let mut command = SKOPEO.command();
        command
            .args(["--insecure-policy", "copy", "--quiet", "--all"])
            .args(["--dest-tls-verify=false", "--dest-creds=me:secret"])
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("docker://{}/{name}", self.address));
        run(&mut command);
    }

    /// The files of blobs, largest first.
    pub(crate) fn blobs(&self) -> Vec<PathBuf> {
        let mut blobs = Vec::new();
        let mut folders = vec![self.dir.path().join("store/docker/registry/v2/blobs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => blobs.push(path),
                }
            }
        }
        blobs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
        blobs
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn run(command: &mut Command) {
    let output = command
        .output()
        .expect("install it with `apt-get install skopeo`");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Forwards to a registry, but not always to the end.
#[derive(Clone)]
pub(crate) struct Flaky {
    pub(crate) address: SocketAddr,
    /// Bytes of answers that were passed on.
    pub(crate) passed: Arc<AtomicU64>,
    /// How many bytes of answers may be passed on in all. Connections that need more are cut.
    pub(crate) allowance: Arc<AtomicU64>,
    /// How many connections are still to be cut after [`Flaky::CUT`] bytes of answers.
    pub(crate) cuts: Arc<AtomicU64>,
}

impl Flaky {
    pub(crate) const CUT: u64 = 200_000;

    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let flaky = Self {
            address: listener.local_addr().unwrap(),
            passed: Arc::default(),
            allowance: Arc::new(AtomicU64::new(u64::MAX)),
            cuts: Arc::default(),
        };
        let own = flaky.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(to).unwrap();
                let (mut from, mut into) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut into);
                    let _ = into.shutdown(Shutdown::Write);
                });
                let own = own.clone();
                std::thread::spawn(move || own.answers(server, client));
            }
        });
        flaky
    }

    fn answers(&self, mut from: TcpStream, mut into: TcpStream) {
        let mut here = 0;
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            here += count as u64;
            let all = self.passed.load(Ordering::SeqCst) + count as u64;
            let spent = all > self.allowance.load(Ordering::SeqCst);
            if spent || (here > Self::CUT && self.take_cut()) {
                break;
            }
            self.passed.fetch_add(count as u64, Ordering::SeqCst);
            if into.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = into.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn take_cut(&self) -> bool {
        let taken = self
            .cuts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        taken.is_ok()
    }
}
