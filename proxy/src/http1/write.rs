//! Parts of a message as bytes.

use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Header and trailer fields, one line each.
pub(crate) fn field(out: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    put(
        out,
        &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"],
    );
}

/// `Content-Length`, the only field that says it.
pub(crate) fn content_length(out: &mut BytesMut, length: u64) {
    number(out, b"content-length: ", format_args!("{length}"));
}

/// The line before a chunk.
pub(crate) fn chunk_size(out: &mut BytesMut, size: usize) {
    number(out, b"", format_args!("{size:x}"));
}

/// The end of a chunked body: the last chunk and `trailers`.
pub(crate) fn last_chunk(out: &mut BytesMut, trailers: &HeaderMap) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers {
        field(out, name, value);
    }
    out.put_slice(b"\r\n");
}

/// `parts`, one behind the other.
pub(crate) fn put(out: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        out.put_slice(part);
    }
}

fn number(out: &mut BytesMut, before: &[u8], number: std::fmt::Arguments<'_>) {
    out.put_slice(before);
    // Memory takes all there is to write.
    let _ = out.write_fmt(number);
    out.put_slice(b"\r\n");
}
