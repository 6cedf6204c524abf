//! The keys that leave a program running and give the terminal back, as Docker has them.

use std::collections::VecDeque;
use std::str::FromStr;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Keys to be pressed one after the other, `ctrl-p,ctrl-q` say. None at all is `""`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    bytes: Vec<u8>,
}

/// A text that names no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key: write single characters, or ctrl- and a letter or one of @ [ \\ ] ^ _")]
pub struct BadKey(String);

impl FromStr for DetachKeys {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let keys = text.split(',').filter(|_| !text.is_empty());
        let bytes = keys.map(|key| byte(key).ok_or_else(|| BadKey(key.to_owned())));
        let bytes = bytes.collect::<Result<_, _>>()?;
        Ok(Self { bytes })
    }
}

impl Default for DetachKeys {
    /// Docker's.
    fn default() -> Self {
        let (p, q) = (0x10, 0x11);
        Self { bytes: vec![p, q] }
    }
}

/// What a terminal sends for a key.
fn byte(key: &str) -> Option<u8> {
    match *key.as_bytes() {
        [byte @ 0x20..=0x7e] => Some(byte),
        [
            b'c',
            b't',
            b'r',
            b'l',
            b'-',
            letter @ (b'@' | b'a'..=b'z' | b'['..=b'_'),
        ] => Some(letter & 0x1f),
        _ => None,
    }
}

/// Input for a program, and the keys that end it.
#[derive(Debug)]
pub struct Input {
    chunks: mpsc::Receiver<Bytes>,
    keys: DetachKeys,
    /// Keys that were pressed and may become all of them.
    held: VecDeque<u8>,
}

/// What comes next of some input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Bytes(Bytes),
    /// The keys were pressed; what was typed before them comes with it.
    Detach(Bytes),
    End,
}

impl From<mpsc::Receiver<Bytes>> for Input {
    fn from(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self::new(chunks, DetachKeys { bytes: Vec::new() })
    }
}

impl Input {
    /// Input in which the keys mean to leave.
    pub fn new(chunks: mpsc::Receiver<Bytes>, keys: DetachKeys) -> Self {
        Self {
            chunks,
            keys,
            held: VecDeque::new(),
        }
    }

    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            let Some(chunk) = self.chunks.recv().await else {
                return match self.held.is_empty() {
                    true => Next::End,
                    false => Next::Bytes(self.held.drain(..).collect()),
                };
            };
            match self.sift(chunk) {
                Next::Bytes(bytes) if bytes.is_empty() => {}
                next => return next,
            }
        }
    }

    /// Holds back what may be the beginning of the keys, until the next key says that it is not.
    fn sift(&mut self, chunk: Bytes) -> Next {
        if self.keys.bytes.is_empty() {
            return Next::Bytes(chunk);
        }
        let mut passed = Vec::with_capacity(chunk.len());
        for byte in chunk {
            self.held.push_back(byte);
            if self.held == self.keys.bytes {
                return Next::Detach(passed.into());
            }
            while !self.keys.bytes.iter().zip(&self.held).all(|(a, b)| a == b) {
                passed.extend(self.held.pop_front());
            }
        }
        Next::Bytes(passed.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("ctrl-p,ctrl-q", &[16, 17][..]),
            ("ctrl-@", &[0]),
            ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", &[27, 28, 29, 30, 31]),
            ("a,b", b"ab"),
            ("", b""),
        ] {
            let bytes = bytes.to_vec();
            assert_eq!(text.parse(), Ok(DetachKeys { bytes }), "{text:?}");
        }
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
        for text in ["ctrl-", "ctrl-P", "shift-a", "ctrl-1", "a,,b", "ä"] {
            assert!(text.parse::<DetachKeys>().is_err(), "{text:?}");
        }
    }

    /// What the program gets of these chunks, and whether its terminal left.
    async fn typed(keys: &str, chunks: &[&str]) -> (String, bool) {
        let (sender, receiver) = mpsc::channel(chunks.len() + 1);
        for chunk in chunks {
            let chunk = Bytes::copy_from_slice(chunk.as_bytes());
            sender.send(chunk).await.unwrap();
        }
        drop(sender);
        let mut input = Input::new(receiver, keys.parse().unwrap());
        let mut all = Vec::new();
        loop {
            match input.next().await {
                Next::Bytes(bytes) => all.extend(bytes),
                Next::Detach(bytes) => {
                    all.extend(bytes);
                    return (String::from_utf8(all).unwrap(), true);
                }
                Next::End => return (String::from_utf8(all).unwrap(), false),
            }
        }
    }

    #[tokio::test]
    async fn the_program_gets_all_but_the_keys() {
        for (keys, chunks, got, left) in [
            ("a,b", &["xaby"][..], "x", true),
            ("a,b", &["x", "a", "b"], "x", true),
            ("a,b", &["a", "cab"], "ac", true),
            ("a,b", &["aab"], "a", true),
            ("a,b", &["ba", "a"], "baa", false),
            ("a,a,b", &["aaab"], "a", true),
            ("a,b,a,c", &["ababac"], "ab", true),
            ("x", &["ab", "x"], "ab", true),
            ("", &["ab"], "ab", false),
        ] {
            let wanted = (got.to_owned(), left);
            assert_eq!(typed(keys, chunks).await, wanted, "{keys:?} {chunks:?}");
        }
    }
}
