//! HTTP/1 messages: what is accepted has one meaning, however its bytes arrive, and httparse finds the same in them.
//!
//! The first byte says whether it is a request, an answer to `GET` or one to `HEAD`; the second in pieces of which size it
//! comes. The proxy's own readers are taken in as they are: building all of it would make fuzzing slow to start.
#![no_main]

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Uri, Version};
use libfuzzer_sys::fuzz_target;

use crate::http1::decode::{Decoder, Framing, Piece};
use crate::http1::{fields::MAX_FIELDS, head};

#[allow(dead_code, reason = "the proxy uses all of it")]
#[path = "../../proxy/src/http1"]
mod http1 {
    pub(crate) mod chunked;
    pub(crate) mod decode;
    pub(crate) mod fields;
    pub(crate) mod head;
}

#[allow(dead_code, reason = "the proxy uses all of it")]
#[path = "../../proxy/src/upstream/http1"]
mod upstream {
    use bytes::Bytes;
    use http::Method;

    mod head;

    pub(crate) use head::AnswerError;

    pub(crate) fn end(bytes: &[u8], from: usize) -> Result<Option<usize>, AnswerError> {
        head::end(bytes, from)
    }

    pub(crate) fn read(head: &Bytes, method: &Method) -> Result<super::Head, AnswerError> {
        head::read(head, method).map(|head| super::Head {
            start: super::Start::Answer(head.status.as_u16()),
            fields: head.fields,
            framing: head.framing,
        })
    }
}

/// What a message is.
#[derive(Clone, Copy)]
enum Kind {
    Request,
    Get,
    Head,
}

#[derive(Debug, PartialEq)]
enum Start {
    /// The target of `CONNECT` is read elsewhere.
    Request(Method, Option<Uri>, Version),
    Answer(u16),
}

#[derive(Debug, PartialEq)]
struct Head {
    start: Start,
    fields: HeaderMap,
    framing: Framing,
}

/// A message as it was read; `head` and `whole` are how many bytes they took.
#[derive(Debug, PartialEq)]
struct Read {
    message: Head,
    head: usize,
    body: Vec<u8>,
    trailers: HeaderMap,
    whole: usize,
}

impl Kind {
    fn end(self, bytes: &[u8], from: usize) -> Result<Option<usize>, String> {
        match self {
            Self::Request => head::end(bytes, from, head::MAX_BYTES).map_err(text),
            Self::Get | Self::Head => upstream::end(bytes, from).map_err(text),
        }
    }

    fn read(self, bytes: &Bytes) -> Result<Head, String> {
        match self {
            Self::Get => upstream::read(bytes, &Method::GET).map_err(text),
            Self::Head => upstream::read(bytes, &Method::HEAD).map_err(text),
            Self::Request => {
                let head = head::read(bytes).map_err(text)?;
                let uri = (head.method != Method::CONNECT).then_some(head.uri);
                Ok(Head {
                    start: Start::Request(head.method, uri, head.version),
                    fields: head.fields,
                    framing: head.body,
                })
            }
        }
    }
}

fn text(error: impl Debug) -> String {
    format!("{error:?}")
}

/// Reads `bytes`, which come in pieces of `size` and then end. None if they end too early.
fn read(kind: Kind, bytes: &[u8], size: usize) -> Result<Option<Read>, String> {
    let mut parts = bytes.chunks(size);
    let mut buffer = BytesMut::new();
    let mut looked = 0;
    let end = loop {
        if let Some(end) = kind.end(&buffer, looked)? {
            break end;
        }
        looked = buffer.len();
        match parts.next() {
            Some(part) => buffer.extend_from_slice(part),
            None => return Ok(None),
        }
    };
    let message = kind.read(&buffer.split_to(end).freeze())?;
    let mut decoder = Decoder::new(message.framing);
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    loop {
        match decoder.next(&mut buffer).map_err(text)? {
            Piece::Data(data) => body.extend_from_slice(&data),
            Piece::Trailers(fields) => trailers = fields,
            Piece::End => break,
            Piece::More => match parts.next() {
                Some(part) => buffer.extend_from_slice(part),
                None if decoder.ends_with_connection() => break,
                None => return Ok(None),
            },
        }
    }
    let left = buffer.len() + parts.map(<[u8]>::len).sum::<usize>();
    Ok(Some(Read {
        message,
        head: end,
        body,
        trailers,
        whole: bytes.len() - left,
    }))
}

/// Names in small letters with their values, in one order.
fn sorted<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, &'a [u8])> {
    let mut all: Vec<_> = fields
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    all.sort();
    all
}

fn ours(fields: &HeaderMap) -> Vec<(String, &[u8])> {
    sorted(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes())),
    )
}

fn theirs<'a>(fields: &[httparse::Header<'a>]) -> Vec<(String, &'a [u8])> {
    sorted(fields.iter().map(|field| (field.name, field.value)))
}

/// What httparse finds in the head of `bytes`, and how long that is.
fn head_again(kind: Kind, bytes: &[u8]) -> (Start, Vec<(String, &[u8])>, usize) {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match kind {
        Kind::Request => {
            let mut request = httparse::Request::new(&mut fields);
            let length = request.parse(bytes).expect("a head").unwrap();
            let method = Method::from_bytes(request.method.unwrap().as_bytes()).unwrap();
            let target = request.path.unwrap();
            let uri = (method != Method::CONNECT).then(|| target.parse().unwrap());
            let version = match request.version.unwrap() {
                0 => Version::HTTP_10,
                _ => Version::HTTP_11,
            };
            let start = Start::Request(method, uri, version);
            (start, theirs(request.headers), length)
        }
        Kind::Get | Kind::Head => {
            let mut answer = httparse::Response::new(&mut fields);
            let length = answer.parse(bytes).expect("a head").unwrap();
            (
                Start::Answer(answer.code.unwrap()),
                theirs(answer.headers),
                length,
            )
        }
    }
}

/// How long the body is by RFC 9112 §6.3, where all readers agree on it.
fn framing_again(kind: Kind, start: &Start, fields: &[(String, &[u8])]) -> Framing {
    let values = |wanted: &str| {
        let named = fields.iter().filter(|(name, _)| name == wanted);
        named.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let framing = match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) if matches!(kind, Kind::Request) => Framing::Length(0),
        ([], []) => Framing::Close,
        ([length], []) => {
            let digits = str::from_utf8(length).unwrap();
            let length: u64 = digits.parse().unwrap();
            assert_eq!(length.to_string(), digits);
            Framing::Length(length)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        both => panic!("{both:?}"),
    };
    match (kind, start) {
        (Kind::Head, _) | (Kind::Get, Start::Answer(100..=199 | 204 | 304)) => Framing::Length(0),
        _ => framing,
    }
}

/// The data and the trailers of a chunked body, by httparse, and how long all of it is.
fn chunks_again(bytes: &[u8]) -> (Vec<u8>, Vec<(String, &[u8])>, usize) {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let (line, size) = httparse::parse_chunk_size(&bytes[at..]).unwrap().unwrap();
        at += line;
        if size == 0 {
            break;
        }
        let end = at + usize::try_from(size).unwrap();
        data.extend_from_slice(&bytes[at..end]);
        at = end + 2;
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let (length, fields) = httparse::parse_headers(&bytes[at..], &mut fields)
        .unwrap()
        .unwrap();
    (data, theirs(fields), at + length)
}

fuzz_target!(|input: &[u8]| {
    let [kind, size, bytes @ ..] = input else {
        return;
    };
    let kind = match kind % 3 {
        0 => Kind::Request,
        1 => Kind::Get,
        _ => Kind::Head,
    };
    let whole = read(kind, bytes, bytes.len().max(1));
    assert_eq!(read(kind, bytes, usize::from(*size) + 1), whole);
    let Ok(Some(read)) = whole else {
        return;
    };

    let (start, fields, head) = head_again(kind, bytes);
    let framing = framing_again(kind, &start, &fields);
    assert_eq!(framing, read.message.framing);
    assert_eq!((start, head), (read.message.start, read.head));
    assert_eq!(fields, ours(&read.message.fields));

    let behind = &bytes[read.head..];
    let (body, trailers, length) = match framing {
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap();
            (behind[..length].to_vec(), Vec::new(), length)
        }
        Framing::Close => (behind.to_vec(), Vec::new(), behind.len()),
        Framing::Chunked => chunks_again(behind),
    };
    assert_eq!((body, read.head + length), (read.body, read.whole));
    assert_eq!(trailers, ours(&read.trailers));
});
