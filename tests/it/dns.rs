//! A DNS server that answers every name with the same addresses and counts what it is asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

/// Lives until the process ends; a test makes few.
pub(crate) struct StubDns {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    addresses: Vec<IpAddr>,
    queries: usize,
}

impl StubDns {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let answers = Arc::clone(&zone);
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((read, from)) = socket.recv_from(&mut buffer) {
                if let Some(reply) = reply(&buffer[..read], &answers) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Self { addr, zone }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What every name resolves to from now on; starts the count anew.
    pub(crate) fn answer(&self, addresses: &[IpAddr]) {
        *self.zone.lock().unwrap() = Zone {
            addresses: addresses.to_vec(),
            queries: 0,
        };
    }

    /// How many queries came since [`Self::answer`].
    pub(crate) fn queries(&self) -> usize {
        self.zone.lock().unwrap().queries
    }
}

/// An answer that nobody may keep: its time to live is zero.
fn reply(query: &[u8], zone: &Mutex<Zone>) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let mut zone = zone.lock().unwrap();
    zone.queries += 1;
    let mut reply = query.clone();
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = match zone.addresses.is_empty() {
        true => ResponseCode::NXDomain,
        false => ResponseCode::NoError,
    };
    for addr in &zone.addresses {
        let data = match (addr, question.query_type()) {
            (IpAddr::V4(addr), RecordType::A) => RData::A((*addr).into()),
            (IpAddr::V6(addr), RecordType::AAAA) => RData::AAAA((*addr).into()),
            _ => continue,
        };
        reply
            .answers
            .push(Record::from_rdata(question.name().clone(), 0, data));
    }
    reply.to_vec().ok()
}
