//! A name in the text of a list.

use super::buckets::Kind;

/// A canonical name in the text of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListedName {
    /// Where it starts, in bytes.
    pub(crate) offset: u32,
    /// How long it is, in bytes.
    pub(crate) len: u8,
    pub(crate) kind: Kind,
}

impl ListedName {
    /// The name itself.
    pub(crate) fn of(self, text: &str) -> &str {
        let start = self.offset as usize;
        text.get(start..start + usize::from(self.len)).unwrap_or("")
    }
}

/// Whether a byte can stand in a canonical name.
#[inline]
pub(super) fn in_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
}
