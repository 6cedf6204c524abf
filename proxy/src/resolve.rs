//! Names to addresses. The only place that asks a name server, and asked only for names the policy admitted.
//!
//! A stub resolver: no search list, no hosts file, no NSS, no recursion of its own, no fallback to other servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{TokioResolver, system_conf};
use policy_lang::HostName;
use tokio::sync::Semaphore;

/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Lookups at once for one policy: what its clients make slow holds up nobody else's.
const MAX_LOOKUPS: usize = 32;

/// Lookups at once for all policies.
const MAX_LOOKUPS_OF_ALL: usize = 256;

/// Answers kept. COST: under 1 KiB each.
const CACHE: u64 = 1024;

/// A wrong answer about a name must not outlive the mistake for long.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// However long a server allows an answer to be kept, addresses move.
const POSITIVE_TTL: Duration = Duration::from_secs(300);

const SYSTEM_CONFIG: &str = "/etc/resolv.conf";

/// How often the system's configuration is looked at for changes.
const SYSTEM_CHECK: Duration = Duration::from_secs(2);

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("there is no such name")]
    NotFound,
    #[error("the name has no address")]
    NoAddress,
    #[error("no name server answered in time")]
    Timeout,
    #[error("too many lookups at once")]
    Busy,
    #[error("the name server failed: {0}")]
    Failed(String),
}

/// Addresses and how long they may be used.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) valid_until: Instant,
}

/// The resolver, as one policy has it.
pub(crate) struct Resolve {
    servers: Arc<Servers>,
    own: Semaphore,
    all: Arc<Semaphore>,
    deadline: Duration,
}

enum Servers {
    Fixed(TokioResolver),
    System(Mutex<System>),
}

struct System {
    resolver: Option<TokioResolver>,
    modified: Option<SystemTime>,
    checked: Instant,
}

impl Resolve {
    /// A resolver that asks `server`, or the ones the system is configured with.
    pub(crate) fn new(server: Option<SocketAddr>, deadline: Duration) -> Result<Self, NetError> {
        let servers = match server {
            Some(server) => Servers::Fixed(build(fixed(server), ResolverOpts::default())?),
            None => Servers::System(Mutex::new(System {
                resolver: system(),
                modified: modified(),
                checked: Instant::now(),
            })),
        };
        Ok(Self {
            servers: Arc::new(servers),
            own: Semaphore::new(MAX_LOOKUPS),
            all: Arc::new(Semaphore::new(MAX_LOOKUPS_OF_ALL)),
            deadline,
        })
    }

    /// The same for another policy: the answers are shared, the places in the queue are not.
    pub(crate) fn for_another(&self) -> Self {
        Self {
            servers: self.servers.clone(),
            own: Semaphore::new(MAX_LOOKUPS),
            all: self.all.clone(),
            deadline: self.deadline,
        }
    }

    /// The addresses of `name`. `localhost` and names below it are this machine, without a question (RFC 6761 §6.3).
    pub(crate) async fn lookup(&self, name: &HostName) -> Result<Answer, ResolveError> {
        if name.as_str() == "localhost" || name.as_str().ends_with(".localhost") {
            let addresses = vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ];
            return Ok(Answer {
                addresses,
                valid_until: Instant::now() + POSITIVE_TTL,
            });
        }
        match tokio::time::timeout(self.deadline, self.ask(name)).await {
            Ok(answer) => answer,
            Err(_) => Err(ResolveError::Timeout),
        }
    }

    async fn ask(&self, name: &HostName) -> Result<Answer, ResolveError> {
        let busy = |_| ResolveError::Busy;
        let _own = self.own.acquire().await.map_err(busy)?;
        let _any = self.all.acquire().await.map_err(busy)?;
        let mut name = Name::from_ascii(name.as_str()).map_err(|_| ResolveError::NotFound)?;
        // Fully qualified: a search list would let the network's owner answer for somebody else's name.
        name.set_fqdn(true);
        let resolver = self
            .resolver()
            .ok_or(ResolveError::Failed("none is configured".into()))?;
        let found = resolver.lookup_ip(name).await.map_err(cause)?;
        let addresses: Vec<_> = found.iter().take(MAX_ADDRESSES).collect();
        match addresses.is_empty() {
            true => Err(ResolveError::NoAddress),
            false => Ok(Answer {
                addresses,
                valid_until: found.valid_until(),
            }),
        }
    }

    fn resolver(&self) -> Option<TokioResolver> {
        match &*self.servers {
            Servers::Fixed(resolver) => Some(resolver.clone()),
            Servers::System(system) => system
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .current(),
        }
    }
}

impl System {
    /// The resolver for the system's configuration as it is now.
    fn current(&mut self) -> Option<TokioResolver> {
        if self.checked.elapsed() >= SYSTEM_CHECK {
            self.checked = Instant::now();
            let modified = modified();
            if modified != self.modified || self.resolver.is_none() {
                self.modified = modified;
                self.resolver = system();
            }
        }
        self.resolver.clone()
    }
}

fn modified() -> Option<SystemTime> {
    std::fs::metadata(SYSTEM_CONFIG)
        .and_then(|file| file.modified())
        .ok()
}

fn system() -> Option<TokioResolver> {
    let (config, options) = system_conf::read_system_conf().ok()?;
    build(
        ResolverConfig::from_parts(None, Vec::new(), config.name_servers),
        options,
    )
    .ok()
}

fn fixed(server: SocketAddr) -> ResolverConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    ResolverConfig::from_parts(None, Vec::new(), vec![config])
}

fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, NetError> {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE;
    options.negative_max_ttl = Some(NEGATIVE_TTL);
    options.positive_max_ttl = Some(POSITIVE_TTL);
    options.timeout = Duration::from_secs(2);
    options.attempts = 2;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

fn cause(error: NetError) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::Timeout,
        NetError::Busy => ResolveError::Busy,
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => ResolveError::NotFound,
            ResponseCode::NoError => ResolveError::NoAddress,
            code => ResolveError::Failed(code.to_string()),
        },
        error => ResolveError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// A name server that says nothing about names with `slow` in them, and that there are no others.
    fn server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut message) {
                let message = &mut message[..length];
                if message.windows(4).any(|part| part == b"slow") {
                    continue;
                }
                // RFC 1035 §4.1.1: a response, RCODE 3.
                message[2] |= 0x80;
                message[3] = 3;
                let _ = socket.send_to(message, from);
            }
        });
        address
    }

    #[tokio::test]
    async fn who_waits_for_a_slow_zone_waits_alone() {
        let one = Arc::new(Resolve::new(Some(server()), Duration::from_secs(30)).unwrap());
        let another = one.for_another();
        let slow: Vec<_> = (0..2 * MAX_LOOKUPS)
            .map(|n| {
                let name = HostName::parse(&format!("n{n}.slow.test")).unwrap();
                let one = one.clone();
                tokio::spawn(async move { one.lookup(&name).await })
            })
            .collect();
        while one.own.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let name = HostName::parse("quick.test").unwrap();
        let answer = another.lookup(&name).await;
        assert!(matches!(answer, Err(ResolveError::NotFound)), "{answer:?}");
        assert!(slow.iter().all(|lookup| !lookup.is_finished()));
        slow.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
