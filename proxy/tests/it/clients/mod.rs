//! Real clients, unmodified, each doing what people have it do: with interception, with bypass, and denied.
//!
//! `service.test` is known to the proxy's name server only, so whatever arrives came through the proxy. With
//! interception a client trusts the sandbox's authority and no other; with bypass the origin's and no other.

mod table;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use rcgen::{CertificateParams, KeyPair};
use table::{ROWS, Row};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::h2::{Body, Origin, full, piped};
use crate::support::origin::ok;
use crate::support::world::{config, deny};
use crate::support::{Canary, World};

const HOST: &str = "service.test";

/// Longest a client may take to succeed.
const PATIENCE: Duration = Duration::from_secs(60);

/// And to fail when it is denied. The proxy's answer is immediate; some clients ask again and again, and each needs its
/// time to start.
const DENIED_WITHIN: Duration = Duration::from_secs(30);

/// Fewer cells than this and the table says too little.
const LEAST: usize = 24;

/// What the modules are that the clients need, and where they are put once.
const PYTHON: &[&str] = &[
    "requests",
    "httpx[http2]",
    "aiohttp",
    "websockets",
    "grpcio",
    "uv",
];
const NODE: &[&str] = &[
    "undici@6",
    "ws@8",
    "https-proxy-agent@7",
    "yarn@1",
    "pnpm@9",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Intercepted,
    Bypassed,
    Denied,
}

struct Rig {
    world: World,
    tools: PathBuf,
    base: String,
    plain: String,
    sockets: u16,
    rpc: u16,
    _origins: Option<Child>,
    _tls: Origin,
    _plain: Canary,
    _folder: tempfile::TempDir,
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_work_unmodified_and_fail_clearly() {
    let tools = tools().await;
    let rig = Rig::new(tools).await;
    let mut wrong = Vec::new();
    let mut text = "| client | operation | intercepted | bypassed | denied |\n| --- | --- | --- | --- | --- |\n".to_owned();
    let mut rows = Vec::new();
    for row in ROWS {
        match rig.has(row.needs).await {
            true => rows.push(row),
            false => println!("{}: {} is not installed", row.client, row.needs),
        }
    }
    let mut cells = vec![[const { String::new() }; 3]; rows.len()];
    for (column, mode) in [Mode::Intercepted, Mode::Bypassed, Mode::Denied]
        .into_iter()
        .enumerate()
    {
        rig.enter(mode).await;
        let runs = rows
            .iter()
            .enumerate()
            .map(|(number, row)| rig.cell(row, mode, number));
        let done: Vec<_> = futures::stream::iter(runs)
            .buffer_unordered(3)
            .collect()
            .await;
        for (number, outcome) in done {
            match outcome {
                Ok(took) => cells[number][column] = format!("{} ms", took.as_millis()),
                Err(error) => wrong.push(format!(
                    "{} {} {mode:?}: {error}",
                    rows[number].client, rows[number].does
                )),
            }
        }
    }
    for (row, cells) in rows.iter().zip(&cells) {
        text += &format!(
            "| {} | {} | {} |\n",
            row.client,
            row.does,
            cells.join(" | ")
        );
    }
    println!("{text}\n{}", table(ROWS));
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients.md"),
        text,
    )
    .unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows.len() >= LEAST, "only {} cells", rows.len());
    assert_eq!(rig.world.proxy.counters().panics, 0);
}

/// What README shows: a line for each client.
fn table(rows: &[Row]) -> String {
    let mut text =
        "| client | does | intercepted | bypassed | denied |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for client in rows.chunk_by(|one, next| one.client == next.client) {
        let does: Vec<_> = client.iter().map(|row| row.does).collect();
        let (name, does) = (client[0].client, does.join(", "));
        text += &format!("| {name} | {does} | works | works | fails, saying why |\n");
    }
    text
}

/// The table in README is the one that is tried.
#[test]
fn the_readme_has_the_table() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let table = table(ROWS);
    assert!(readme.contains(&table), "put this into README:\n{table}");
}

impl Rig {
    async fn new(tools: PathBuf) -> Self {
        let world = World::new(&deny(&[])).await;
        let folder = tempfile::tempdir().unwrap();
        let root = Arc::new(folder.path().to_owned());
        let server = world
            .pki
            .server(HOST, crate::support::pki::Flaw::None, &[b"h2", b"http/1.1"]);
        let answer = move |request| Box::pin(serve(root.clone(), request)) as BoxFuture<'static, _>;
        let tls = Origin::reading(server, answer).await;
        let plain = Canary::http(|_| ok("hello from the origin\n")).await;
        for name in [HOST, "plain.test"] {
            world.dns.points(name, &["127.0.0.1"]);
        }
        let base = format!("https://{HOST}:{}", tls.address.port());
        let here = here();
        let made = Command::new("python3")
            .arg(here.join("mirrors.py"))
            .args([folder.path().as_os_str(), base.as_ref()])
            .output();
        let made = made.await.unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        // Who has no Java goes without its rows.
        let _ = Command::new("javac")
            .arg("-d")
            .args([&tools, &here.join("Get.java")])
            .output()
            .await;
        let mut rig = Self {
            base,
            plain: format!("http://plain.test:{}", plain.port()),
            world,
            tools,
            sockets: 1,
            rpc: 1,
            _origins: None,
            _tls: tls,
            _plain: plain,
            _folder: folder,
        };
        if rig.has("py:websockets").await && rig.has("py:grpc").await {
            rig.start_origins().await;
        }
        rig
    }

    /// Origins of protocols that only a library speaks.
    async fn start_origins(&mut self) {
        let dir = self.world.dir.path();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &self.world.pki.authority).unwrap();
        std::fs::write(dir.join("cert.pem"), leaf.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
        let mut child = Command::new("python3")
            .arg(here().join("origins.py"))
            .args([dir.join("cert.pem"), dir.join("key.pem")])
            .env("PYTHONPATH", self.tools.join("python"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ports = crate::support::soon("origins", lines.next_line())
            .await
            .unwrap()
            .unwrap();
        let (sockets, rpc) = ports.split_once(' ').unwrap();
        (self.sockets, self.rpc) = (sockets.parse().unwrap(), rpc.parse().unwrap());
        self._origins = Some(child);
    }

    /// Puts policy and trust in place.
    async fn enter(&self, mode: Mode) {
        let hosts = [
            self.base.trim_start_matches("https://").to_owned(),
            self.plain.trim_start_matches("http://").to_owned(),
            format!("{HOST}:{}", self.sockets),
            format!("{HOST}:{}", self.rpc),
        ];
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let dir = self.world.dir.path();
        let origin = std::fs::read_to_string(dir.join("origin-ca.pem")).unwrap();
        let (policy, roots) = match mode {
            Mode::Intercepted => (deny(&hosts), self.world.ca()),
            Mode::Bypassed => (config("deny", &hosts, &[], &[HOST]), origin),
            Mode::Denied => (deny(&[]), self.world.ca()),
        };
        self.world.set(&policy);
        std::fs::write(dir.join("roots.pem"), roots).unwrap();
        if self.has("keytool").await {
            let _ = std::fs::remove_file(dir.join("roots.p12"));
            let made = Command::new("keytool")
                .args([
                    "-importcert",
                    "-noprompt",
                    "-alias",
                    "x",
                    "-storepass",
                    "changeit",
                    "-storetype",
                    "PKCS12",
                    "-file",
                ])
                .arg(dir.join("roots.pem"))
                .arg("-keystore")
                .arg(dir.join("roots.p12"))
                .output();
            assert!(made.await.unwrap().status.success());
        }
    }

    async fn cell(
        &self,
        row: &Row,
        mode: Mode,
        number: usize,
    ) -> (usize, Result<Duration, String>) {
        let began = Instant::now();
        let output = match tokio::time::timeout(PATIENCE, self.run(row.script)).await {
            Ok(output) => output,
            Err(_) => return (number, Err("it did not end".into())),
        };
        let took = began.elapsed();
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let fine = match mode {
            Mode::Denied => {
                !output.status.success() && took < DENIED_WITHIN && !told.contains("hello from")
            }
            Mode::Intercepted | Mode::Bypassed => {
                output.status.success() && told.contains(row.says)
            }
        };
        (
            number,
            fine.then_some(took)
                .ok_or(format!("{} after {took:?}: {told:.600}", output.status)),
        )
    }

    /// Runs a script as somebody whose every setting is the proxy and the authority to trust.
    async fn run(&self, script: &str) -> Output {
        let out = tempfile::tempdir().unwrap();
        let dir = self.world.dir.path();
        let proxy = format!("http://{}", self.world.address);
        let roots = dir.join("roots.pem");
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(script)
            .env_clear()
            .kill_on_drop(true)
            .stdin(Stdio::null());
        command
            .current_dir(out.path())
            .env("HOME", out.path())
            .env("OUT", out.path())
            .env("TMPDIR", out.path());
        for name in ["PATH", "PYENV_ROOT", "JAVA_HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let home = std::env::var("HOME").unwrap_or_default();
        if std::env::var_os("PYENV_ROOT").is_none() {
            command.env("PYENV_ROOT", format!("{home}/.pyenv"));
        }
        let rustup = std::env::var("RUSTUP_HOME").unwrap_or(format!("{home}/.rustup"));
        command.env("RUSTUP", rustup).env(
            "RUSTUP_TOOLCHAIN",
            std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_default(),
        );
        for name in [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "grpc_proxy",
            "npm_config_proxy",
            "npm_config_https_proxy",
        ] {
            command.env(name, &proxy);
        }
        for name in [
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "PIP_CERT",
            "GIT_SSL_CAINFO",
            "NODE_EXTRA_CA_CERTS",
            "CARGO_HTTP_CAINFO",
            "npm_config_cafile",
            "ROOTS",
        ] {
            command.env(name, &roots);
        }
        // What this machine's registries are is nobody's business here.
        for name in ["PIP_CONFIG_FILE", "npm_config_userconfig"] {
            command.env(name, "/dev/null");
        }
        let store = dir.join("roots.p12");
        let trust = format!(
            "-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword=changeit",
            store.display()
        );
        command
            .env("npm_config_globalconfig", out.path().join("npmrc"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("UV_NO_CONFIG", "1")
            .env("PYTHONPATH", self.tools.join("python"))
            .env("NODE_PATH", self.tools.join("node/node_modules"))
            .env("TRUST", trust)
            .env("HERE", here())
            .env("TOOLS", &self.tools)
            .env("BASE", &self.base)
            .env("PLAIN", &self.plain)
            .env("PROXY", &proxy)
            .env("PROXYHOST", self.world.address.ip().to_string())
            .env("PROXYPORT", self.world.address.port().to_string())
            .env("WSS", format!("wss://{HOST}:{}", self.sockets))
            .env("RPC", format!("{HOST}:{}", self.rpc));
        command.output().await.unwrap()
    }

    async fn has(&self, needs: &str) -> bool {
        let test = match needs.split_once(':') {
            Some(("py", module)) => format!("python3 -c 'import {module}'"),
            Some((_, module)) => format!("command -v node && test -e \"$NODE_PATH/{module}\""),
            None => format!("command -v {needs}"),
        };
        let found = Command::new("sh")
            .args(["-c", &test])
            .env("PYTHONPATH", self.tools.join("python"))
            .env("NODE_PATH", self.tools.join("node/node_modules"))
            .output();
        found.await.unwrap().status.success()
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients")
}

/// Libraries and package managers from the language's own registries, installed once for a build directory.
async fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let done = tools.join("installed");
    let wanted = format!("{PYTHON:?} {NODE:?}");
    if std::fs::read_to_string(&done).ok().as_deref() == Some(&wanted) {
        return tools;
    }
    std::fs::create_dir_all(tools.join("node")).unwrap();
    let python = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--upgrade",
        "--disable-pip-version-check",
        "--target",
    ];
    let python = Command::new("python3")
        .args(python)
        .arg(tools.join("python"))
        .args(PYTHON)
        // Debian guards its own packages; these go to a folder of their own.
        .env("PIP_BREAK_SYSTEM_PACKAGES", "1")
        .status()
        .await;
    let node = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
    let node = Command::new("npm")
        .args(node)
        .arg(tools.join("node"))
        .args(NODE)
        .status()
        .await;
    // Who has no Node goes without its rows; see `LEAST`.
    if python.is_ok_and(|status| status.success()) && node.is_ok_and(|status| status.success()) {
        std::fs::write(done, wanted).unwrap();
    }
    tools
}

/// Files, and a few things that no file does.
async fn serve(root: Arc<PathBuf>, request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/events" => {
            let (events, body) = piped();
            tokio::spawn(async move {
                for number in 1..=3 {
                    let _ = events
                        .send(Frame::data(Bytes::from(format!("data: {number}\n\n"))))
                        .await;
                }
            });
            let mut response = Response::new(body);
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, "text/event-stream".parse().unwrap());
            response
        }
        "/length" => {
            let read = request.into_body().collect().await;
            let read = read.map_or(0, |body| body.to_bytes().len());
            Response::new(full(&format!("{read}\n")))
        }
        path => file(&root, path, &request),
    }
}

fn file(root: &Path, path: &str, request: &Request<Incoming>) -> Response<Body> {
    let path = root.join(path.trim_matches('/'));
    let found = std::fs::read(&path).or_else(|_| std::fs::read(path.join("index.html")));
    let Ok(bytes) = found else {
        let mut response = Response::new(full("no such file\n"));
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        return response;
    };
    let kind = match path.to_str().unwrap() {
        path if path.contains("/manifests/") => "application/vnd.oci.image.manifest.v1+json",
        path if path.contains("/simple/") => "text/html",
        path if path.contains("/npm/") && !path.contains("/-/") => "application/json",
        _ => "application/octet-stream",
    };
    let range = request.headers().get(header::RANGE).and_then(|range| {
        let (from, to) = range
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
    });
    let mut response = Response::builder().header(header::CONTENT_TYPE, kind);
    let length = bytes.len();
    let mut bytes = Bytes::from(bytes);
    if let Some((from, to)) = range {
        response = response
            .status(206)
            .header(header::CONTENT_RANGE, format!("bytes {from}-{to}/{length}"));
        bytes = bytes.slice(from..=to);
    }
    response = response.header(header::CONTENT_LENGTH, bytes.len());
    if request.method() == http::Method::HEAD {
        bytes = Bytes::new();
    }
    response.body(Full::new(bytes).boxed()).unwrap()
}
