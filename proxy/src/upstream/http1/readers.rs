//! Every byte of some answers is spoiled in every way that has ever fooled a reader, and what is still accepted is
//! accepted alike by the reader of hyper, however the bytes arrive.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};

use super::{AnswerError, head};
use crate::http1::decode::{Decoder, Piece};
use crate::http1::fields::MAX_FIELDS;
use crate::http1::spoiled::spoiled;

/// Answers with all that a head and a body can have.
const SEEDS: [&[u8]; 5] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y z\r\n\r\nhello",
    b"HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0a\r\n0123456789\r\n0\r\nt: u\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nserver: a\r\n\r\nall of it",
    b"HTTP/1.1 304 x\r\netag: \"a\"\r\ncontent-length: 10\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nset-cookie: a\r\nset-cookie: b\r\n\r\nHTTP/1.1 200",
];

/// An answer as it was read: status, fields, body, trailers, and how many bytes were left behind it.
#[derive(Debug, PartialEq)]
struct Read {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
    left: usize,
}

/// Reads `bytes`, which come in pieces of `size` and then end. None if they end too early.
fn read(bytes: &[u8], size: usize) -> Result<Option<Read>, AnswerError> {
    let mut parts = bytes.chunks(size);
    let mut buffer = BytesMut::new();
    let mut looked = 0;
    let end = loop {
        if let Some(end) = head::end(&buffer, looked)? {
            break end;
        }
        looked = buffer.len();
        match parts.next() {
            Some(part) => buffer.extend_from_slice(part),
            None => return Ok(None),
        }
    };
    let whole: Bytes = buffer.split_to(end).freeze();
    let answer = head::read(&whole, &Method::GET)?;
    let mut decoder = Decoder::new(answer.framing);
    let mut read = Read {
        status: answer.status.as_u16(),
        fields: answer.fields,
        body: Vec::new(),
        trailers: HeaderMap::new(),
        left: 0,
    };
    loop {
        match decoder.next(&mut buffer)? {
            Piece::Data(data) => read.body.extend_from_slice(&data),
            Piece::Trailers(trailers) => {
                read.trailers = trailers;
                break;
            }
            Piece::End => break,
            Piece::More => match parts.next() {
                Some(part) => buffer.extend_from_slice(part),
                None if decoder.ends_with_connection() => break,
                None => return Ok(None),
            },
        }
    }
    read.left = buffer.len() + parts.map(<[u8]>::len).sum::<usize>();
    Ok(Some(read))
}

/// Whether hyper's reader finds the same head.
fn agrees(bytes: &[u8], read: &Read) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut other = httparse::Response::new(&mut fields);
    if !other.parse(bytes).is_ok_and(|status| status.is_complete()) {
        return false;
    }
    let mut theirs: Vec<_> = other
        .headers
        .iter()
        .map(|field| (field.name.to_lowercase(), field.value.to_vec()))
        .collect();
    let ours = read.fields.iter();
    let mut ours: Vec<_> = ours
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    theirs.sort();
    ours.sort();
    other.code == Some(read.status) && theirs == ours
}

#[test]
fn what_is_accepted_has_one_meaning() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in SEEDS {
        assert!(matches!(read(seed, seed.len()), Ok(Some(_))));
        for bytes in spoiled(seed) {
            let whole = read(&bytes, bytes.len().max(1));
            for size in [1, 2, 7] {
                assert_eq!(read(&bytes, size), whole, "{}", bytes.escape_ascii());
            }
            match whole {
                Ok(Some(whole)) => {
                    assert!(agrees(&bytes, &whole), "{}", bytes.escape_ascii());
                    accepted += 1;
                }
                Ok(None) | Err(_) => refused += 1,
            }
        }
    }
    // Both happen, or nothing was tested.
    assert!(accepted > 1000 && refused > 10_000, "{accepted}, {refused}");
}
