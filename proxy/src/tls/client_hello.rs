//! What a TLS client says before anything is encrypted, read from bytes alone.
//!
//! A pure parser: no sockets, no TLS library, no allocation beyond one copy of a hello that spans records. It
//! exists because the proxy must know the server name *before* it decides whether to end TLS or to pass it on.
//! Layout: RFC 8446 §4.1.2 and §5.1; server names: RFC 6066 §3.

use std::borrow::Cow;

/// Bytes of a hello that are read before giving up. Post-quantum key shares make hellos of about 2 KiB.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_TYPE_HOST: u8 = 0;
/// RFC 8446 §5.1: a record carries at most 2^14 bytes.
const MAX_RECORD: usize = 1 << 14;

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sniff {
    /// A prefix of a hello; read more.
    Partial,
    /// Not a TLS handshake.
    Other,
    /// Starts like a handshake and is none.
    Malformed,
    /// A whole hello.
    Hello(ClientHello),
}

/// The parts of a hello that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    pub(crate) server_name: ServerName,
    /// Protocols offered, in the client's order.
    pub(crate) alpn: Vec<Vec<u8>>,
}

/// The server name extension.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerName {
    /// No extension.
    #[default]
    Absent,
    /// One host name, exactly as sent.
    Host(String),
    /// The extension holds no name, several names, an unknown kind of name, or bytes that are not ASCII.
    Invalid,
}

/// Reads `input`, the first bytes of a connection.
pub(crate) fn sniff(input: &[u8]) -> Sniff {
    match input.first() {
        None => Sniff::Partial,
        Some(&RECORD_HANDSHAKE) => handshake(input),
        Some(_) => Sniff::Other,
    }
}

fn handshake(input: &[u8]) -> Sniff {
    let message = match message(input) {
        Ok(Some(message)) => message,
        Ok(None) if input.len() >= MAX_BYTES => return Sniff::Malformed,
        Ok(None) => return Sniff::Partial,
        Err(Malformed) => return Sniff::Malformed,
    };
    hello(&mut Reader(&message)).map_or(Sniff::Malformed, Sniff::Hello)
}

struct Malformed;

/// The body of the first handshake message, put together from as many records as it takes.
fn message(input: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Malformed> {
    let mut records = Reader(input);
    let mut gathered: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        if let Some(header) = gathered.get(..4) {
            let mut header = Reader(header);
            if header.u8() != Some(MESSAGE_CLIENT_HELLO) {
                return Err(Malformed);
            }
            let length = header.u24().ok_or(Malformed)?;
            if length > MAX_BYTES {
                return Err(Malformed);
            }
            if gathered.len() >= 4 + length {
                return Ok(Some(slice(gathered, 4, length)));
            }
        }
        match record(&mut records)? {
            None => return Ok(None),
            Some(fragment) if gathered.is_empty() => gathered = Cow::Borrowed(fragment),
            Some(fragment) => gathered.to_mut().extend_from_slice(fragment),
        }
    }
}

fn slice(bytes: Cow<'_, [u8]>, start: usize, length: usize) -> Cow<'_, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..start + length).unwrap_or_default()),
        Cow::Owned(bytes) => Cow::Owned(
            bytes
                .get(start..start + length)
                .unwrap_or_default()
                .to_vec(),
        ),
    }
}

/// One record's fragment; none when it is not all there yet.
fn record<'a>(records: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let Some(&kind) = records.0.first() else {
        return Ok(None);
    };
    let Some(&major) = records.0.get(1) else {
        return Ok(None);
    };
    if kind != RECORD_HANDSHAKE || major != 3 {
        return Err(Malformed);
    }
    let mut ahead = Reader(records.0);
    let Some(length) = ahead.take(3).and_then(|_| ahead.u16()).map(usize::from) else {
        return Ok(None);
    };
    if length == 0 || length > MAX_RECORD {
        return Err(Malformed);
    }
    let Some(fragment) = ahead.take(length) else {
        return Ok(None);
    };
    *records = ahead;
    Ok(Some(fragment))
}

fn hello(body: &mut Reader<'_>) -> Option<ClientHello> {
    body.take(2 + 32)?; // legacy version, random
    body.vec8()?; // session
    body.vec16()?; // cipher suites
    body.vec8()?; // compression
    let mut hello = ClientHello::default();
    if body.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(body.vec16()?);
    let mut named = false;
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let value = extensions.vec16()?;
        match kind {
            EXTENSION_SERVER_NAME if named => return None,
            EXTENSION_SERVER_NAME => {
                named = true;
                hello.server_name = server_name(value);
            }
            EXTENSION_ALPN => hello.alpn = alpn(value)?,
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(value: &[u8]) -> ServerName {
    let one = |value| {
        let mut list = Reader(Reader(value).only16()?);
        let kind = list.u8()?;
        let name = list.vec16()?;
        (kind == NAME_TYPE_HOST && list.0.is_empty() && !name.is_empty() && name.is_ascii())
            .then_some(name)
    };
    match one(value).map(|name| String::from_utf8(name.to_vec())) {
        Some(Ok(name)) => ServerName::Host(name),
        _ => ServerName::Invalid,
    }
}

fn alpn(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(Reader(value).only16()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vec8()?.to_vec());
    }
    Some(protocols)
}

/// A cursor that can only go forward and never past the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u24(&mut self) -> Option<usize> {
        let high = usize::from(self.u8()?);
        Some(high << 16 | usize::from(self.u16()?))
    }

    fn vec8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    fn vec16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A vector that must fill the rest.
    fn only16(&mut self) -> Option<&'a [u8]> {
        let value = self.vec16()?;
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vec8(value: &[u8]) -> Vec<u8> {
        [&[u8::try_from(value.len()).unwrap()], value].concat()
    }

    fn vec16(value: &[u8]) -> Vec<u8> {
        [&u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    }

    fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vec16(value)].concat()
    }

    fn sni(entries: &[(u8, &[u8])]) -> Vec<u8> {
        let list: Vec<u8> = entries
            .iter()
            .flat_map(|(kind, name)| [vec![*kind], vec16(name)].concat())
            .collect();
        extension(EXTENSION_SERVER_NAME, &vec16(&list))
    }

    fn message_of(extensions: &[u8]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vec8(&[]),
            &vec16(&[0x13, 1]),
            &vec8(&[0]),
            &vec16(extensions),
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[MESSAGE_CLIENT_HELLO], &length[1..], &body].concat()
    }

    fn records(message: &[u8], fragment: usize) -> Vec<u8> {
        message
            .chunks(fragment)
            .flat_map(|part| [&[RECORD_HANDSHAKE, 3, 1][..], &vec16(part)].concat())
            .collect()
    }

    fn name_in(extensions: &[u8]) -> Option<ServerName> {
        match sniff(&records(&message_of(extensions), 4096)) {
            Sniff::Hello(hello) => Some(hello.server_name),
            _ => None,
        }
    }

    #[test]
    fn server_names() {
        let host = |name: &str| Some(ServerName::Host(name.into()));
        let rows: &[(Vec<u8>, Option<ServerName>)] = &[
            (vec![], Some(ServerName::Absent)),
            (sni(&[(0, b"a.example")]), host("a.example")),
            // Canonical form is the caller's business: it parses the name as it parses any target.
            (sni(&[(0, b"A.Example.")]), host("A.Example.")),
            (sni(&[(0, b"a\0b")]), host("a\0b")),
            (
                sni(&[(0, b"a.example"), (0, b"b.example")]),
                Some(ServerName::Invalid),
            ),
            (sni(&[(9, b"a.example")]), Some(ServerName::Invalid)),
            (sni(&[(0, b"")]), Some(ServerName::Invalid)),
            (sni(&[(0, b"\xff")]), Some(ServerName::Invalid)),
            (
                extension(EXTENSION_SERVER_NAME, &[]),
                Some(ServerName::Invalid),
            ),
            ([sni(&[(0, b"a")]), sni(&[(0, b"b")])].concat(), None),
            (extension(EXTENSION_ALPN, &[1]), None),
        ];
        for (extensions, expected) in rows {
            assert_eq!(name_in(extensions), *expected, "{extensions:02x?}");
        }
    }

    #[test]
    fn every_prefix_asks_for_more_however_it_is_cut() {
        let message = message_of(&sni(&[(0, b"a.example")]));
        for fragment in [1, 3, 4, 5, 50, 4096] {
            let whole = records(&message, fragment);
            for end in 0..whole.len() {
                assert_eq!(sniff(&whole[..end]), Sniff::Partial, "{fragment} {end}");
            }
            assert!(matches!(sniff(&whole), Sniff::Hello(_)));
        }
    }

    #[test]
    fn what_is_no_hello() {
        let rows: &[(&[u8], Sniff)] = &[
            (b"GET / HTTP/1.1\r\n", Sniff::Other),
            (b"SSH-2.0-x", Sniff::Other),
            (&[0x80, 0x2e, 1, 0, 2], Sniff::Other), // SSLv2
            (&[22, 2, 0, 0, 1, 1], Sniff::Malformed),
            (&[22, 3, 1, 0, 0], Sniff::Malformed), // empty record
            (&[22, 3, 1, 0x40, 1, 1], Sniff::Malformed), // record too long
            (&[22, 3, 1, 0, 4, 2, 0, 0, 0], Sniff::Malformed), // a server's hello
            (&[22, 3, 1, 0, 4, 1, 1, 0, 0], Sniff::Malformed), // message too long
            (&[22, 3, 1, 0, 5, 1, 0, 0, 1, 3], Sniff::Malformed), // body too short
        ];
        for (input, expected) in rows {
            assert_eq!(sniff(input), *expected, "{input:02x?}");
        }
    }

    #[test]
    fn a_hello_of_a_real_client() {
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let mut config = config;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = "api.example.com".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let Sniff::Hello(hello) = sniff(&bytes) else {
            panic!("no hello")
        };
        assert_eq!(
            hello.server_name,
            ServerName::Host("api.example.com".into())
        );
        assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
