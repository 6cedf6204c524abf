//! Paths as layers may write them: relative, without `..`, bounded.

use std::borrow::Borrow;

use super::Refusal;

/// The longest path, as in `PATH_MAX`, in bytes.
const LONGEST_PATH: usize = 4096;

/// The longest name, as in `NAME_MAX`, in bytes.
const LONGEST_NAME: usize = 255;

/// One component of a path: not empty, not `.` or `..`, without slash and NUL, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(Box<[u8]>);

impl Name {
    /// Checks one component.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, Refusal> {
        match bytes {
            b".." => Err(Refusal::Climbs),
            b"" | b"." => Err(Refusal::Empty),
            _ if bytes.contains(&0) || bytes.contains(&b'/') => Err(Refusal::BadByte),
            _ if bytes.len() > LONGEST_NAME => Err(Refusal::TooLong),
            _ => Ok(Self(bytes.into())),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Splits the path of a layer's entry. The root itself, `./`, has no components.
///
/// `a//b` and `./a/./b` are the usual spellings of some packers and mean what they mean to the kernel.
pub(super) fn split(path: &[u8]) -> Result<Vec<Name>, Refusal> {
    if path.starts_with(b"/") {
        return Err(Refusal::Absolute);
    }
    if path.is_empty() {
        return Err(Refusal::Empty);
    }
    if path.len() > LONGEST_PATH {
        return Err(Refusal::TooLong);
    }
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(Name::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let long_name = vec![b'a'; LONGEST_NAME + 1];
        let long_path = b"a/".repeat(LONGEST_PATH / 2 + 1);
        let rows: [(&[u8], Result<&str, Refusal>); 14] = [
            (b"a/b", Ok("a|b")),
            (b"./a/./b/", Ok("a|b")),
            (b"a//b", Ok("a|b")),
            (b"./", Ok("")),
            (b".", Ok("")),
            (b"...", Ok("...")),
            (b"", Err(Refusal::Empty)),
            (b"/a", Err(Refusal::Absolute)),
            (b"..", Err(Refusal::Climbs)),
            (b"a/../b", Err(Refusal::Climbs)),
            (b"a/b/..", Err(Refusal::Climbs)),
            (b"a\0b", Err(Refusal::BadByte)),
            (&long_name, Err(Refusal::TooLong)),
            (&long_path, Err(Refusal::TooLong)),
        ];
        for (path, wanted) in rows {
            let found = split(path).map(|names| {
                let names: Vec<_> = names
                    .iter()
                    .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
                    .collect();
                names.join("|")
            });
            assert_eq!(found, wanted.map(str::to_owned), "{path:?}");
        }
    }
}
