//! The guest's resolver: it answers by itself, from [`Names`], and asks nobody.
//!
//! No query leaves the machine, so names carry nothing out: a name that no rule admits gets an address
//! like every other, and what it was for is refused by the proxy when it is connected to.

mod serve;

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::names::{self, Names};
pub use serve::{Shared, run};

/// Where resolvers listen (RFC 1035, 4.2).
pub const PORT: u16 = 53;

/// How long an answer may be kept, in seconds. The table outlives it by far.
const TTL: u32 = 60;

/// What stands behind a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// This machine, by its loopback addresses.
    Loopback,
    /// The host.
    Host,
    /// A synthetic address, given on demand.
    Synthetic,
    /// Nothing, and never will.
    None,
}

/// The answer to one message, or `None` where it is not even a query.
///
/// Only type A has an answer. AAAA is answered with "no data" rather than with a second synthetic range,
/// so that every client takes IPv4 at once; HTTPS, TXT, MX and all others have nothing to say here.
#[must_use]
pub fn answer(query: &[u8], names: &mut Names) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = fill(&query, &mut reply, names);
    reply.to_vec().ok()
}

fn fill(query: &Message, reply: &mut Message, names: &mut Names) -> ResponseCode {
    let [question] = query.queries.as_slice() else {
        return ResponseCode::FormErr;
    };
    reply.add_query(question.clone());
    if query.metadata.op_code != OpCode::Query {
        return ResponseCode::NotImp;
    }
    if question.query_class() != DNSClass::IN {
        return ResponseCode::Refused;
    }
    let name = canonical(question.name());
    let kind = classify(&name);
    let data = match (kind, question.query_type()) {
        (Answer::None, RecordType::PTR) => return pointer(question.name(), reply, names),
        (Answer::None, _) => return ResponseCode::NXDomain,
        (Answer::Loopback, RecordType::A) => RData::A(Ipv4Addr::LOCALHOST.into()),
        (Answer::Loopback, RecordType::AAAA) => RData::AAAA(Ipv6Addr::LOCALHOST.into()),
        (Answer::Host, RecordType::A) => RData::A(names::HOST.into()),
        (Answer::Synthetic, RecordType::A) => RData::A(names.address(&name).into()),
        (_, _) => return ResponseCode::NoError,
    };
    reply.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
    ResponseCode::NoError
}

/// Lower case, without the final dot.
fn canonical(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

fn classify(name: &str) -> Answer {
    let last = name.rsplit('.').next().unwrap_or_default();
    match name {
        names::HOST_NAME | "gateway.docker.internal" => Answer::Host,
        _ if last == "localhost" => Answer::Loopback, // RFC 6761, 6.3
        // RFC 6761, 6.4; RFC 7686, 2; RFC 3172; and a name of one label is nobody's on the network.
        _ if matches!(last, "invalid" | "onion" | "arpa") || !name.contains('.') => Answer::None,
        _ if is_host_name(name) && !is_number(last) => Answer::Synthetic,
        _ => Answer::None,
    }
}

/// Letters, digits, hyphens and underscores. What the proxy would refuse anyway need not be connected to.
/// Lengths are no matter: the protocol has the same limits.
fn is_host_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(letter))
}

/// A last label of digits makes the name an IPv4 address in some spelling (WHATWG URL, "ends in a number").
fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit()) || label.starts_with("0x")
}

/// `7.1.18.198.in-addr.arpa` is the name that 198.18.1.7 stands for.
fn pointer(name: &Name, reply: &mut Message, names: &mut Names) -> ResponseCode {
    let address = canonical(name)
        .strip_suffix(".in-addr.arpa")
        .and_then(reversed);
    let found = address.and_then(|address| names.name(address));
    let Some(Ok(found)) = found.map(|found| Name::from_ascii(format!("{found}."))) else {
        return ResponseCode::NXDomain;
    };
    let data = RData::PTR(hickory_proto::rr::rdata::PTR(found));
    reply.add_answer(Record::from_rdata(name.clone(), TTL, data));
    ResponseCode::NoError
}

fn reversed(text: &str) -> Option<Ipv4Addr> {
    let mut parts: Vec<&str> = text.split('.').collect();
    parts.reverse();
    parts.join(".").parse().ok()
}

#[cfg(test)]
mod tests;
