//! A name server that answers from a table and counts what it is asked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// What the server says about one name.
#[derive(Clone)]
pub(crate) enum Zone {
    /// These addresses, each time.
    Always(Vec<IpAddr>),
    /// The next entry each time it is asked for IPv4, then the last one for good.
    Changing(Vec<IpAddr>),
    Code(ResponseCode),
    Silent,
    /// An answer to another question's number.
    WrongNumber,
    /// Cut short, and nobody listens where the whole of it would be had.
    Truncated,
    /// An alias of itself.
    Loop,
    /// An alias of this name, which has addresses; both are in one answer, as resolvers give it.
    Alias(&'static str),
}

#[derive(Default)]
struct State {
    zones: HashMap<String, Zone>,
    asked: Vec<String>,
}

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        Self::on("127.0.0.1:0").await
    }

    pub(crate) async fn on(address: &str) -> Self {
        let socket = UdpSocket::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        tokio::spawn(serve(socket, state.clone()));
        Self { address, state }
    }

    pub(crate) fn set(&self, name: &str, zone: Zone) {
        self.state
            .lock()
            .unwrap()
            .zones
            .insert(format!("{name}."), zone);
    }

    pub(crate) fn points(&self, name: &str, addresses: &[&str]) {
        self.set(
            name,
            Zone::Always(
                addresses
                    .iter()
                    .map(|address| address.parse().unwrap())
                    .collect(),
            ),
        );
    }

    /// Every name asked for so far, with a trailing dot.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Ok(question) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let answer = answer(&question, &mut state.lock().unwrap());
        if let Some(answer) = answer {
            socket
                .send_to(&answer.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    }
}

fn answer(question: &Message, state: &mut State) -> Option<Message> {
    let query = question.queries.first()?;
    let name = query.name().to_ascii().to_lowercase();
    state.asked.push(name.clone());
    let mut answer = Message::response(question.id, question.op_code);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let mut owner = query.name().clone();
    if let Some(&mut Zone::Alias(target)) = state.zones.get_mut(&name) {
        let target = Name::from_ascii(target).unwrap();
        let alias = RData::CNAME(CNAME(target.clone()));
        answer.add_answer(Record::from_rdata(owner, 0, alias));
        owner = target;
    }
    let addresses = match state.zones.get_mut(&owner.to_ascii().to_lowercase()) {
        None => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            Vec::new()
        }
        Some(Zone::Code(code)) => {
            answer.metadata.response_code = *code;
            Vec::new()
        }
        Some(Zone::Silent | Zone::Alias(_)) => return None,
        Some(Zone::WrongNumber) => {
            answer.metadata.id = answer.metadata.id.wrapping_add(1);
            vec![IpAddr::from([127, 0, 0, 1])]
        }
        Some(Zone::Truncated) => {
            answer.metadata.truncation = true;
            Vec::new()
        }
        Some(Zone::Loop) => {
            let alias = RData::CNAME(CNAME(query.name().clone()));
            answer.add_answer(Record::from_rdata(query.name().clone(), 0, alias));
            Vec::new()
        }
        Some(Zone::Always(addresses)) => addresses.clone(),
        Some(Zone::Changing(addresses))
            if query.query_type() == RecordType::A && addresses.len() > 1 =>
        {
            vec![addresses.remove(0)]
        }
        Some(Zone::Changing(addresses)) => addresses.clone(),
    };
    for address in addresses {
        let data = match (address, query.query_type()) {
            (IpAddr::V4(address), RecordType::A) => RData::A(A(address)),
            (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(address)),
            _ => continue,
        };
        answer.add_answer(Record::from_rdata(owner.clone(), 0, data));
    }
    Some(answer)
}
