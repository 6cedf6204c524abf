//! Header and trailer fields out of their lines (RFC 9112 §5). What is ambiguous is refused, never repaired.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use memchr::{memchr, memchr_iter};

/// Most fields of one message.
pub(crate) const MAX_FIELDS: usize = 100;

/// Why a field is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadField {
    /// There are more than [`MAX_FIELDS`].
    TooMany,
    /// It goes on on the next line.
    Folded,
    /// No name, no colon, or something between them.
    Malformed,
    /// A control character is in its value.
    BadByte,
}

/// Lines between CR LF. A CR or LF left inside a line is refused with the other control characters.
pub(crate) struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self(Some(text))
    }

    /// At most so many are left.
    fn at_most(&self) -> usize {
        self.0
            .map_or(0, |rest| memchr_iter(b'\n', rest).count() + 1)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let mut ends = memchr_iter(b'\n', rest).filter_map(|feed| feed.checked_sub(1));
        match ends.find(|end| rest.get(*end) == Some(&b'\r')) {
            Some(end) => {
                self.0 = rest.get(end + 2..);
                rest.get(..end)
            }
            None => self.0.take(),
        }
    }
}

/// The fields in `lines`, which lie within `whole` and stay there. Each is shown to `check` before the next is read.
pub(crate) fn fields<E: From<BadField>>(
    whole: &Bytes,
    lines: Lines<'_>,
    mut check: impl FnMut(&HeaderName, &HeaderValue) -> Result<(), E>,
) -> Result<HeaderMap, E> {
    // COST: as large as it will be, with room for what the proxy adds.
    let mut fields = HeaderMap::with_capacity((lines.at_most() + 1).min(MAX_FIELDS));
    for (count, line) in lines.enumerate() {
        if count >= MAX_FIELDS {
            return Err(BadField::TooMany.into());
        }
        let (name, value) = field(whole, line)?;
        check(&name, &value)?;
        fields.append(name, value);
    }
    Ok(fields)
}

fn field(whole: &Bytes, line: &[u8]) -> Result<(HeaderName, HeaderValue), BadField> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(BadField::Folded);
    }
    let colon = memchr(b':', line).ok_or(BadField::Malformed)?;
    let (name, value) = line.split_at(colon);
    let value = trim(value.get(1..).unwrap_or_default());
    // These two take what is a token (RFC 9110 §5.6.2), and what is text without control characters (§5.5).
    let name = HeaderName::from_bytes(name).map_err(|_| BadField::Malformed)?;
    let value = HeaderValue::from_maybe_shared(whole.slice_ref(value));
    Ok((name, value.map_err(|_| BadField::BadByte)?))
}

/// What may be in a field's value (RFC 9110 §5.5) or a reason phrase: no control characters.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    // COST: without a way out before the end, so that it runs on many bytes at once.
    let bad = |byte: u8| (byte < 0x20 && byte != b'\t') | (byte == 0x7f);
    !bytes.iter().fold(false, |any, &byte| any | bad(byte))
}

/// Without the white space around it (RFC 9110 §5.6.3).
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `Connection` has this option (RFC 9110 §7.6.1).
pub(crate) fn connection_has(fields: &HeaderMap, wanted: &str) -> bool {
    let options = fields.get_all(http::header::CONNECTION).iter();
    options
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|option| trim(option).eq_ignore_ascii_case(wanted.as_bytes()))
}
