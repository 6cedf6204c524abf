//! F20: memory that runs short under the proxy. Its guest has many answers sent and reads none.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::appliance::Appliance;
use crate::origin::Origin;
use crate::support::Home;

/// What the proxy may use.
const LIMIT: u64 = 64 << 20;

/// Connections that read nothing, each with [`STREAMS`] answers of [`BODY`] bytes: some ten times the limit.
const FLOOD: usize = 120;
const STREAMS: u32 = 90;
const BODY: usize = 60_000;

/// Longest any single step may take before the test fails. Debug builds on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A control group with little memory. It is removed with this value.
struct Group(PathBuf);

impl Group {
    /// Below this process's own, where the machine lets us.
    fn new(limit: u64) -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mut made = own.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            let (tree, file, swap) = match controllers {
                "" => ("", "memory.max", "memory.swap.max"),
                "memory" => (
                    "memory",
                    "memory.limit_in_bytes",
                    "memory.memsw.limit_in_bytes",
                ),
                _ => return None,
            };
            let parent = PathBuf::from("/sys/fs/cgroup").join(tree).join(path);
            let group = Self(parent.join(format!("sandbox-test-{}", std::process::id())));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(file), limit.to_string()).ok()?;
            // Swapping out what is over the limit would only put off the end. Not every kernel counts it.
            let swapped = if tree.is_empty() { 0 } else { limit };
            let _ = fs::write(group.0.join(swap), swapped.to_string());
            let entered = group.command(&Command::new("true")).output();
            entered.ok()?.status.success().then_some(group)
        });
        made.next().ok_or_else(|| {
            format!("no control group with a limit on memory can be made below {own:?}")
        })
    }

    /// The same command, begun in this group.
    fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside
            .args(["-c", r#"echo $$ > "$1" && shift && exec "$@""#, "sh"])
            .arg(self.0.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        for (key, value) in command.get_envs() {
            inside.env(key, value.unwrap_or_default());
        }
        inside
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// What became of a connection that was to hold answers.
#[derive(Debug)]
enum Flooded {
    Holds(Box<TlsStream<TcpStream>>),
    TurnedAway,
    GivenUp,
}

/// One frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Everything that is asked on one connection, with windows that never shut.
fn questions(authority: &str) -> Vec<u8> {
    const WIDE: u32 = 0x7fff_ffff - 65_535;
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(
        4,
        0,
        0,
        &[&[0, 4][..], &0x7fff_ffff_u32.to_be_bytes()].concat(),
    ));
    said.extend(frame(8, 0, 0, &WIDE.to_be_bytes()));
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", authority),
        (":path", "/body"),
    ];
    let literal = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| [vec![0], literal(name), literal(value)].concat())
        .collect();
    for number in 0..STREAMS {
        said.extend(frame(1, 5, 2 * number + 1, &block));
    }
    said
}

/// The status of the next answer on a plain connection, which has no body that matters.
async fn status(io: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, io.read_u8()).await.unwrap().ok()?);
    }
    String::from_utf8(head)
        .unwrap()
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}

async fn flood(proxy: SocketAddr, tls: &TlsConnector, authority: &str) -> Flooded {
    let socket = TcpSocket::new_v4().unwrap();
    // What is not read is to lie in the proxy, not in the kernel.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut io = socket.connect(proxy).await.unwrap();
    let connect = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    if io.write_all(connect.as_bytes()).await.is_err() {
        return Flooded::GivenUp;
    }
    match status(&mut io).await {
        Some(200) => {}
        Some(503) => return Flooded::TurnedAway,
        other => {
            assert_eq!(other, None, "a status that nobody expects");
            return Flooded::GivenUp;
        }
    }
    let name = ServerName::try_from("localhost").unwrap();
    let Ok(mut io) = timeout(PATIENCE, tls.connect(name, io)).await.unwrap() else {
        return Flooded::GivenUp;
    };
    match io.write_all(&questions(authority)).await {
        Ok(()) => Flooded::Holds(Box::new(io)),
        Err(_) => Flooded::GivenUp,
    }
}

#[test]
fn a_proxy_sheds_before_its_memory_runs_out() {
    let group = match Group::new(LIMIT) {
        Ok(group) => group,
        Err(why) => return println!("not tried: {why}"),
    };
    let files = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: files,
        maximum: files,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let home = Home::new();
    fs::write(home.project().join("body"), vec![b'x'; BODY]).unwrap();
    let origin = Origin::serving(&home.project());
    let authority = format!("localhost:{}", origin.addr.port());
    let policy = format!(r#"{{"policy":"deny","network":{{"allowedDomains":["{authority}"]}}}}"#);
    fs::write(home.project().join("proxy-config.json"), policy).unwrap();
    let mut command = home.proxy(&[]);
    command.env("SSL_CERT_FILE", origin.roots());
    let (appliance, proxy) = Appliance::start(group.command(&command));
    let flooding = floods(&home, appliance, proxy, &authority);
    Runtime::new().unwrap().block_on(flooding);
}

async fn floods(home: &Home, mut appliance: Appliance, proxy: SocketAddr, authority: &str) {
    let mut roots = RootCertStore::empty();
    let authority_of_proxy = proxy::ca::load(&home.project().join("sandbox-proxy-ca")).unwrap();
    let pem = authority_of_proxy.pem().as_bytes();
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(config));

    let (mut held, mut turned_away, mut given_up) = (Vec::new(), 0, 0);
    for _ in 0..FLOOD {
        match flood(proxy, &tls, authority).await {
            Flooded::Holds(io) => held.push(io),
            Flooded::TurnedAway => turned_away += 1,
            Flooded::GivenUp => given_up += 1,
        }
        assert!(appliance.lives(), "killed with {} connections", held.len());
    }
    let let_in = held.len();
    assert!(turned_away > 0, "{let_in} let in, {given_up} given up");
    // They leave, and there is room again.
    drop(held);
    let served =
        async { while !matches!(flood(proxy, &tls, authority).await, Flooded::Holds(_)) {} };
    timeout(PATIENCE, served).await.expect("room again");
    assert!(appliance.lives());
    appliance.end();
}
