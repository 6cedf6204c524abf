use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::Query;

use super::*;

fn query(name: &str, kind: RecordType) -> Message {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let labels = labels.map(str::as_bytes);
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_labels(labels).unwrap(), kind));
    query
}

fn ask(names: &mut Names, query: &Message) -> Message {
    let reply = answer(&query.to_vec().unwrap(), names).unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!(reply.metadata.id, 7);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    reply
}

/// Code and addresses.
fn told(reply: &Message) -> (ResponseCode, Vec<IpAddr>) {
    let address = |record: &Record| match &record.data {
        RData::A(address) => IpAddr::V4(address.0),
        RData::AAAA(address) => IpAddr::V6(address.0),
        other => panic!("{other}"),
    };
    let addresses = reply.answers.iter().map(address).collect();
    (reply.metadata.response_code, addresses)
}

#[test]
fn name_rows() {
    use RecordType::{A, AAAA, HTTPS, MX, TXT};
    use ResponseCode::{NXDomain, NoError};
    let rows = [
        ("example.com.", A, NoError, "198.18.1.0"),
        ("EXAMPLE.com.", A, NoError, "198.18.1.0"),
        ("a.b.example.com.", A, NoError, "198.18.1.1"),
        ("_srv.my_host.example.", A, NoError, "198.18.1.2"),
        ("xn--bcher-kva.example.", A, NoError, "198.18.1.3"),
        ("example.com.", AAAA, NoError, ""),
        ("example.com.", HTTPS, NoError, ""),
        ("example.com.", TXT, NoError, ""),
        ("secret-in-a-name.example.com.", MX, NoError, ""),
        ("localhost.", A, NoError, "127.0.0.1"),
        ("app.localhost.", AAAA, NoError, "::1"),
        ("host.docker.internal.", A, NoError, "198.18.0.2"),
        ("gateway.docker.internal.", AAAA, NoError, ""),
        ("printer.", A, NXDomain, ""),
        (".", A, NXDomain, ""),
        ("name.invalid.", A, NXDomain, ""),
        ("name.onion.", A, NXDomain, ""),
        ("1.0.0.10.in-addr.arpa.", A, NXDomain, ""),
        ("127.1.", A, NXDomain, ""),
        ("1.2.3.0x7f.", A, NXDomain, ""),
        ("sp ace.example.", A, NXDomain, ""),
    ];
    let names = &mut Names::default();
    for (name, kind, code, addresses) in rows {
        let wanted: Vec<IpAddr> = addresses.parse().into_iter().collect();
        assert_eq!(
            told(&ask(names, &query(name, kind))),
            (code, wanted),
            "{name} {kind}"
        );
    }
}

#[test]
fn an_address_is_told_its_name() {
    let names = &mut Names::default();
    names.address("example.com");
    let reply = ask(names, &query("0.1.18.198.in-addr.arpa.", RecordType::PTR));
    let [record] = reply.answers.as_slice() else {
        panic!("{reply:?}");
    };
    assert_eq!(record.data.to_string(), "example.com.");
    for unknown in [
        "1.1.18.198.in-addr.arpa.",
        "8.8.8.8.in-addr.arpa.",
        "x.in-addr.arpa.",
    ] {
        let reply = ask(names, &query(unknown, RecordType::PTR));
        assert_eq!(told(&reply), (ResponseCode::NXDomain, vec![]), "{unknown}");
    }
}

#[test]
fn what_is_no_question_of_ours() {
    let names = &mut Names::default();
    let mut two = query("a.example.", RecordType::A);
    two.add_query(Query::query(
        Name::from_ascii("b.example.").unwrap(),
        RecordType::A,
    ));
    let mut update = query("a.example.", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    for (query, code) in [
        (two, ResponseCode::FormErr),
        (update, ResponseCode::NotImp),
        (chaos, ResponseCode::Refused),
    ] {
        assert_eq!(told(&ask(names, &query)), (code, vec![]));
    }
    let response = Message::response(7, OpCode::Query).to_vec().unwrap();
    let rows: [&[u8]; 4] = [&response, b"", b"\0\x07\x01\0\0\x01", &[0xff; 600]];
    for row in rows {
        assert_eq!(answer(row, names), None, "{row:?}");
    }
}

#[tokio::test]
async fn by_udp_and_by_tcp() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let free = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let SocketAddr::V4(address) = free else {
        panic!("{free}");
    };
    let names = Shared::default();
    let server = tokio::spawn(run(address, names));
    let query = query("example.com.", RecordType::A).to_vec().unwrap();
    let mut client = loop {
        match tokio::net::TcpStream::connect(address).await {
            Ok(client) => break client,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let framed = [&[0, query.len() as u8], query.as_slice()].concat();
    client.write_all(&framed).await.unwrap();
    let mut by_tcp = vec![0; client.read_u16().await.unwrap().into()];
    client.read_exact(&mut by_tcp).await.unwrap();

    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    udp.send_to(&query, address).await.unwrap();
    let mut by_udp = [0; 512];
    let (len, _) = udp.recv_from(&mut by_udp).await.unwrap();
    assert_eq!(by_udp[..len], by_tcp);
    let wanted = (ResponseCode::NoError, vec![IpAddr::V4(names::FIRST)]);
    assert_eq!(told(&Message::from_vec(&by_tcp).unwrap()), wanted);
    server.abort();
}
