//! Keeping a secret out of answers: an origin that echoes requests would hand the guest what was set on them.
//!
//! Best effort, and no more: it finds the secret as it was sent, percent-encoded, or as the Basic scheme encodes it, in
//! header fields and in bodies without content coding (none is asked for where a credential is set). An origin that
//! compresses all the same, or spells the secret backwards, is not caught: give a credential to origins you trust.

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{HeaderMap, HeaderValue};
use memchr::memmem::Finder;
use secrecy::zeroize::Zeroizing;

use super::identity::Identity;

/// What stands in the place of each byte of a secret, so that lengths stay true.
const MASK: u8 = b'*';

/// Shorter secrets are not looked for: they would be found in innocent text.
const SHORTEST: usize = 8;

/// Secrets to be looked for in one answer.
#[derive(Default)]
pub(crate) struct Scrubber {
    needles: Vec<Zeroizing<Vec<u8>>>,
    identity: Option<Identity>,
    /// The end of what came so far, as long as it may be the beginning of a secret.
    held: BytesMut,
}

impl Scrubber {
    /// Looks for `secret` from now on, in all its spellings.
    pub(super) fn add(&mut self, secret: &str) {
        self.identity = Some(Identity::of(self.identity, secret));
        if secret.len() < SHORTEST {
            return;
        }
        let encoded = super::place::percent_encoded(secret);
        for spelling in [secret.as_bytes(), encoded.as_bytes()] {
            if !self.needles.iter().any(|needle| **needle == *spelling) {
                self.needles.push(Zeroizing::new(spelling.to_vec()));
            }
        }
    }

    /// Who the secrets say that the request is from. None where there are none.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Masks secrets in an answer's fields or trailers.
    pub(crate) fn fields(&self, fields: &mut HeaderMap) {
        for value in fields.values_mut() {
            let mut bytes = value.as_bytes().to_vec();
            if self.mask(&mut bytes)
                && let Ok(masked) = HeaderValue::from_bytes(&bytes)
            {
                *value = masked;
            }
        }
    }

    /// Masks secrets in an answer that is all there.
    pub(crate) fn whole(mut self, response: Response<Bytes>) -> Response<Bytes> {
        let (mut parts, body) = response.into_parts();
        self.fields(&mut parts.headers);
        Response::from_parts(parts, self.pass(body, true))
    }

    /// The next bytes that can be passed on, given the next that came. `last` lets go of what was held back.
    ///
    /// COST: a search for each needle; a copy only where something was held back or found.
    pub(crate) fn pass(&mut self, data: Bytes, last: bool) -> Bytes {
        let mut bytes = match self.held.is_empty() {
            true => data,
            false => {
                let mut joined = std::mem::take(&mut self.held);
                joined.extend_from_slice(&data);
                joined.freeze()
            }
        };
        if self.is_in(&bytes) {
            let mut masked = BytesMut::from(&*bytes);
            self.mask(&mut masked);
            bytes = masked.freeze();
        }
        if !last {
            let kept = bytes.len() - self.beginning_at_end_of(&bytes);
            self.held = BytesMut::from(&*bytes.split_off(kept));
        }
        bytes
    }

    /// Whether bytes are held back.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let mut needles = self.needles.iter();
        needles.any(|needle| Finder::new(&***needle).find(bytes).is_some())
    }

    fn mask(&self, bytes: &mut [u8]) -> bool {
        let mut found = false;
        for needle in &self.needles {
            let finder = Finder::new(&***needle);
            while let Some(at) = finder.find(bytes) {
                let secret = bytes.get_mut(at..at + needle.len());
                secret.unwrap_or_default().fill(MASK);
                found = true;
            }
        }
        found
    }

    /// Length of the longest end of `bytes` that begins a needle without being all of it.
    fn beginning_at_end_of(&self, bytes: &[u8]) -> usize {
        let longest = |needle: &Zeroizing<Vec<u8>>| {
            let most = bytes.len().min(needle.len() - 1);
            let ends = |length: &usize| {
                let end = bytes.get(bytes.len() - length..).unwrap_or_default();
                needle.starts_with(end)
            };
            (1..=most).rev().find(ends).unwrap_or(0)
        };
        self.needles.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "secret/0123";

    fn scrubber() -> Scrubber {
        let mut scrubber = Scrubber::default();
        scrubber.add(SECRET);
        scrubber
    }

    /// However the bytes are cut, the secret does not come through, and everything else does.
    #[test]
    fn every_cut() {
        let text = format!("a{SECRET}b secret/012 secret%2F0123 ssecret/0123secret/0123 secre");
        let expected = "a***********b secret/012 ************* s********************** secre";
        assert_eq!(text.len(), expected.len());
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut scrubber = scrubber();
                let bytes = Bytes::from(text.clone());
                let parts = [0..first, first..second, second..text.len()];
                let mut out = Vec::new();
                for part in parts {
                    out.extend(scrubber.pass(bytes.slice(part), false));
                }
                out.extend(scrubber.pass(Bytes::new(), true));
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    expected,
                    "{first} {second}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_held_back_without_need() {
        let mut scrubber = scrubber();
        for line in ["data: {\"x\":1}\n\n", "data: done\n\n"] {
            assert_eq!(scrubber.pass(Bytes::from(line), false), line);
            assert!(!scrubber.holds());
        }
    }

    #[test]
    fn fields_are_masked() {
        let mut fields = HeaderMap::new();
        fields.insert("location", "/?k=secret%2F0123&x".parse().unwrap());
        fields.insert("etag", "1".parse().unwrap());
        scrubber().fields(&mut fields);
        assert_eq!(fields["location"], "/?k=*************&x");
        assert_eq!(fields["etag"], "1");
    }

    #[test]
    fn short_secrets_are_left() {
        let mut scrubber = Scrubber::default();
        scrubber.add("short");
        let text = Bytes::from("a short text");
        assert_eq!(scrubber.pass(text.clone(), false), text);
        assert!(scrubber.identity().is_some());
    }
}
