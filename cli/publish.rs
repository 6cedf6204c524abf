//! Ports of the sandbox that the host listens for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use vmshim::spec::Publish;

/// `[[HOST_IP:]HOST_PORT:]SANDBOX_PORT[/tcp]`. Without an address it is this machine's loopback: a
/// sandbox is not the network's business unless somebody says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublishArg(pub(crate) Publish);

/// A text that publishes nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("write [[HOST_IP:]HOST_PORT:]SANDBOX_PORT, as in `8080:80`")]
    Shape,
    #[error("only TCP ports can be published")]
    Protocol,
    #[error("a port is 1 to 65535")]
    Port,
}

impl FromStr for PublishArg {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        let ports = match text.split_once('/') {
            None | Some((_, "tcp")) => text.trim_end_matches("/tcp"),
            Some(_) => return Err(PublishError::Protocol),
        };
        let (before, guest_port) = match ports.rsplit_once(':') {
            Some((before, port)) => (Some(before), port),
            None => (None, ports),
        };
        let (ip, host_port) = match before.map(|before| before.rsplit_once(':').ok_or(before)) {
            None => (IpAddr::from(Ipv4Addr::LOCALHOST), 0),
            Some(Err(port)) => (Ipv4Addr::LOCALHOST.into(), host_port(port)?),
            Some(Ok((ip, port))) => (address(ip)?, host_port(port)?),
        };
        Ok(Self(Publish {
            host: SocketAddr::new(ip, host_port),
            guest_port: number(guest_port)?,
        }))
    }
}

fn address(text: &str) -> Result<IpAddr, PublishError> {
    let bare = text.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .map_err(|_| PublishError::Shape)
}

/// Left empty, the system chooses.
fn host_port(text: &str) -> Result<u16, PublishError> {
    if text.is_empty() {
        return Ok(0);
    }
    number(text)
}

fn number(text: &str) -> Result<u16, PublishError> {
    match text.parse::<u16>() {
        Ok(0) => Err(PublishError::Port),
        Ok(port) => Ok(port),
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Err(PublishError::Port)
        }
        Err(_) => Err(PublishError::Shape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (text, wanted) in [
            ("3000", Ok(("127.0.0.1:0", 3000))),
            ("8080:3000", Ok(("127.0.0.1:8080", 3000))),
            ("8080:3000/tcp", Ok(("127.0.0.1:8080", 3000))),
            ("0.0.0.0:8080:3000", Ok(("0.0.0.0:8080", 3000))),
            ("127.0.0.1::3000", Ok(("127.0.0.1:0", 3000))),
            ("[::1]:8080:3000", Ok(("[::1]:8080", 3000))),
            ("8080:3000/udp", Err(PublishError::Protocol)),
            ("", Err(PublishError::Shape)),
            ("x", Err(PublishError::Shape)),
            ("0", Err(PublishError::Port)),
            ("65536", Err(PublishError::Port)),
            ("0:80", Err(PublishError::Port)),
            ("nohost:80:80", Err(PublishError::Shape)),
        ] {
            let parsed = text
                .parse::<PublishArg>()
                .map(|PublishArg(publish)| publish);
            let wanted = wanted.map(|(host, guest_port)| Publish {
                host: host.parse().unwrap(),
                guest_port,
            });
            assert_eq!(parsed, wanted, "{text:?}");
        }
    }
}
