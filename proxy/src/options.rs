//! What a proxy is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::credentials::{Handed, Handover, Login};
use crate::upstream::parent::Parents;

/// Everything [`crate::Proxy::start`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The sandbox's name, as it appears in the log and in the advice of a denial.
    pub name: String,
    /// The `proxy-config.json`. Watched; never written.
    pub config: PathBuf,
    /// Directory of the authority, made if missing. See [`crate::ca::ensure`].
    pub ca_dir: PathBuf,
    /// Directory of the images of long block lists, made if missing: they make lists ready in milliseconds, and a
    /// third as large in memory. Without one, or where others can write there, lists are always read as text.
    pub lists: Option<PathBuf>,
    /// The name server to ask (UDP, then TCP), instead of the system's.
    pub dns: Option<SocketAddr>,
    /// A PEM file of the authorities that origins are verified against, instead of the system's store
    /// (which `SSL_CERT_FILE` and `SSL_CERT_DIR` name when they are set).
    pub trust: Option<PathBuf>,
    /// Where requests are logged, as JSON lines.
    pub log: Option<PathBuf>,
    /// Path of the administration socket. See [`crate::admin`].
    pub admin: Option<PathBuf>,
    /// Where `/metrics` and `/health` are served. Nowhere by default.
    pub metrics: Option<SocketAddr>,
    /// Sockets of this process that are not given to [`crate::Proxy::serve`] and must never be dialled either.
    pub listeners: Vec<SocketAddr>,
    /// How a denial tells people to change the policy: the command without its flags,
    /// such as `sandbox network proxy my-sandbox`. None names the config file instead.
    pub advice: Option<String>,
    /// Secrets for the built-in services and for `inject … from env`, by the variable's name.
    pub handed: Handed,
    /// The memory file through which more of them come, and where those are kept that come while it runs.
    pub handover: Option<Arc<Handover>>,
    /// Logins made by guests whose tokens are kept here. All that are known by default.
    pub logins: Vec<Login>,
    /// The directory where those tokens are kept beyond the proxy's end. Nowhere by default.
    pub login_store: Option<PathBuf>,
    /// Proxies between this machine and the network. See [`Parents`].
    pub parents: Parents,
    /// Bounds on time and number.
    pub limits: Limits,
}

impl Options {
    /// Options with the defaults for all that is optional.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        config: impl Into<PathBuf>,
        ca_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            name: name.into(),
            config: config.into(),
            ca_dir: ca_dir.into(),
            lists: None,
            dns: None,
            trust: None,
            log: None,
            admin: None,
            metrics: None,
            listeners: Vec::new(),
            advice: None,
            handed: Handed::default(),
            handover: None,
            logins: Login::known(),
            login_store: None,
            parents: Parents::default(),
            limits: Limits::default(),
        }
    }
}

/// Bounds on time and number. Nothing a guest or an origin does may outlast or outgrow them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Client connections at once; more are answered 503.
    pub connections: usize,
    /// Requests at once on all of them, and so connections to origins, kept ones aside; more are answered 503.
    pub requests: usize,
    /// From the first byte of a request to the end of its head, and from a tunnel's start to a whole TLS hello.
    pub head: Duration,
    /// A kept-alive client connection without a request.
    pub idle: Duration,
    /// TCP connect, to one address.
    pub connect: Duration,
    /// TLS handshake, on either side.
    pub handshake: Duration,
    /// From the end of a request to the head of its answer. Long: language models think.
    pub first_byte: Duration,
    /// A body that stands still, in either direction, a client that does not read its answer, and either side of a tunnel
    /// that does not take what the other has sent.
    pub body_idle: Duration,
    /// A tunnel in which nobody says anything.
    pub tunnel_idle: Duration,
    /// One name lookup, all tries together.
    pub resolve: Duration,
    /// How long a program or a token endpoint is left alone that was asked for a secret: what an origin refuses is not had
    /// anew before, and what was in vain is not tried again.
    pub credential_pause: Duration,
    /// How long [`crate::Proxy::shutdown`] waits for requests to finish.
    pub drain: Duration,
    /// Size of one log file in bytes before it is rotated.
    pub log_bytes: u64,
    /// Rotated log files that are kept: `network.1` is the newest.
    pub log_files: u32,
    /// Log lines kept in memory while the log cannot be written. When they are used up, requests are refused.
    pub log_backlog: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests: 4096,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(600),
            body_idle: Duration::from_secs(120),
            tunnel_idle: Duration::from_secs(3600),
            resolve: Duration::from_secs(5),
            credential_pause: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            log_bytes: 64 * 1024 * 1024,
            log_files: 5,
            log_backlog: 1000,
        }
    }
}
