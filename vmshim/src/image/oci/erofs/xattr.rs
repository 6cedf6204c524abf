//! A node's extended attributes, stored between its inode and its content.

use super::super::tree::Xattr;
use super::Fields;

/// Bytes before the first attribute (`struct erofs_xattr_ibody_header`).
const HEADER: usize = 12;

/// Attributes begin at multiples of this many bytes.
const UNIT: usize = 4;

/// What [`encode`] will return, in bytes.
pub(super) fn size(xattrs: &[Xattr]) -> u64 {
    u64::try_from(encode(xattrs).len()).unwrap_or(u64::MAX)
}

/// The count that the inode records: one unit stands for the header. Zero means none.
pub(super) fn count(xattrs: &[Xattr]) -> u16 {
    match encode(xattrs).len() {
        0 => 0,
        // A node has at most 64 KiB of attributes, so the units fit.
        length => ((length - HEADER) / UNIT + 1) as u16,
    }
}

/// Header and attributes, or nothing.
pub(super) fn encode(xattrs: &[Xattr]) -> Vec<u8> {
    if xattrs.is_empty() {
        return Vec::new();
    }
    let mut out = Fields::default();
    out.zeros(HEADER);
    for xattr in xattrs {
        out.u8(xattr.name.len() as u8)
            .u8(xattr.prefix as u8)
            .u16(xattr.value.len() as u16)
            .bytes(&xattr.name)
            .bytes(&xattr.value);
        out.zeros(out.0.len().next_multiple_of(UNIT) - out.0.len());
    }
    out.0
}
