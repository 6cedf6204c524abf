//! Extended headers of tar: records of the form `LENGTH KEY=VALUE\n` (pax(1), "pax Extended Header").
//!
//! Why not the tar crate's: it splits at line feeds, and a file capability may hold one.

use super::Refusal;
use super::tree::{Xattr, XattrPrefix};

/// The most that one node's attributes may take together, in bytes.
const LARGEST_XATTRS: usize = 64 << 10;

/// What an extended header overrides in the entry that follows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<u64>,
    pub(super) size: Option<u64>,
    pub(super) sparse: bool,
    pub(super) xattrs: Vec<Xattr>,
}

impl Pax {
    /// Reads the content of an extended header.
    pub(super) fn parse(mut text: &[u8]) -> Result<Self, Refusal> {
        let mut pax = Self::default();
        while !text.is_empty() {
            let (key, value, rest) = record(text).ok_or(Refusal::Header)?;
            pax.take(key, value)?;
            text = rest;
        }
        let bytes: usize = pax.xattrs.iter().map(Xattr::bytes).sum();
        if bytes > LARGEST_XATTRS {
            return Err(Refusal::Xattrs);
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"size" => self.size = Some(number(value)?),
            b"mtime" => self.mtime = Some(seconds(value)),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                let xattr = key.strip_prefix(b"SCHILY.xattr.").map(split_name);
                if let Some(Some((prefix, name))) = xattr {
                    if name.len() > 255 {
                        return Err(Refusal::Xattrs);
                    }
                    self.xattrs.push(Xattr {
                        prefix,
                        name: name.to_vec(),
                        value: value.to_vec(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The prefix of an attribute that is kept, and the rest of its name.
///
/// `trusted.` is not: `trusted.overlay.*` would steer the overlay that the guest puts over the image.
fn split_name(name: &[u8]) -> Option<(XattrPrefix, &[u8])> {
    match name {
        b"system.posix_acl_access" => Some((XattrPrefix::AclAccess, b"")),
        b"system.posix_acl_default" => Some((XattrPrefix::AclDefault, b"")),
        _ => {
            let user = name.strip_prefix(b"user.");
            let security = name.strip_prefix(b"security.");
            user.map(|rest| (XattrPrefix::User, rest))
                .or(security.map(|rest| (XattrPrefix::Security, rest)))
                .filter(|(_, rest)| !rest.is_empty())
        }
    }
}

/// The first record's key and value, and what follows it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(text.get(..space)?).ok()?.parse().ok()?;
    let body = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((
        body.get(..equals)?,
        body.get(equals + 1..)?,
        text.get(length..)?,
    ))
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Result<T, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Refusal::Header)?;
    text.parse().map_err(|_| Refusal::Header)
}

/// Whole seconds; times before 1970 become 1970, as a damaged clock would have it.
fn seconds(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in records {
            let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
            let mut length = body.len() + 1;
            while length != body.len() + length.to_string().len() {
                length = body.len() + length.to_string().len();
            }
            out.extend_from_slice(length.to_string().as_bytes());
            out.extend_from_slice(&body);
        }
        out
    }

    #[test]
    fn records_override_the_header() {
        let capability = b"\x01\n\n5 a=b\n";
        let text = header(&[
            ("path", b"a/long=path"),
            ("linkpath", b"b"),
            ("uid", b"70000"),
            ("mtime", b"1700000000.25"),
            ("size", b"9"),
            ("comment", b"of no interest"),
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.system.posix_acl_access", b"acl"),
        ]);
        let pax = Pax::parse(&text).unwrap();
        let names: Vec<_> = pax
            .xattrs
            .iter()
            .map(|xattr| (xattr.prefix, xattr.name.as_slice(), xattr.value.as_slice()))
            .collect();
        assert_eq!(
            names,
            [
                (XattrPrefix::Security, &b"capability"[..], &capability[..]),
                (XattrPrefix::AclAccess, b"", b"acl"),
            ]
        );
        assert_eq!(pax.path.as_deref(), Some(&b"a/long=path"[..]));
        assert_eq!(pax.link.as_deref(), Some(&b"b"[..]));
        assert_eq!((pax.uid, pax.gid), (Some(70_000), None));
        assert_eq!((pax.mtime, pax.size), (Some(1_700_000_000), Some(9)));
        assert!(!pax.sparse);
    }

    #[test]
    fn damaged_records_are_refused() {
        let large = vec![b'x'; 40_000];
        let rows: [(Vec<u8>, Refusal); 8] = [
            (b"9999 path=a\n".to_vec(), Refusal::Header),
            (b"5 a=b".to_vec(), Refusal::Header),
            (b"x path=a\n".to_vec(), Refusal::Header),
            (b"6 abc\n".to_vec(), Refusal::Header),
            (b"99999999999999999999999 a=b\n".to_vec(), Refusal::Header),
            (header(&[("uid", b"4294967296")]), Refusal::Header),
            (header(&[("size", b"-1")]), Refusal::Header),
            (
                header(&[
                    ("SCHILY.xattr.user.a", &large),
                    ("SCHILY.xattr.user.b", &large),
                ]),
                Refusal::Xattrs,
            ),
        ];
        for (text, wanted) in rows {
            assert_eq!(Pax::parse(&text).unwrap_err(), wanted, "{text:?}");
        }
        assert!(
            Pax::parse(&header(&[("GNU.sparse.major", b"1")]))
                .unwrap()
                .sparse
        );
    }
}
