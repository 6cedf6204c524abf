//! What a guest gets in the place of a token: worthless, different each time, and of the shape that clients look for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Says to people what it is.
const MARK: &str = "proxy-managed-";

/// Random bytes in a sentinel: nobody guesses that of another login.
const RANDOM: usize = 24;

/// Longest token that is kept, and the shortest that is one.
const MAX_TOKEN: usize = 16 * 1024;
const MIN_TOKEN: usize = 8;

/// Why there is no sentinel for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SentinelError {
    #[error("has a token that no header could carry")]
    Odd,
    #[error("cannot be hidden: there are no random numbers")]
    NoRandom,
}

/// A new sentinel for `token`, which begins with `prefix` as all tokens of its kind do.
///
/// A token that is signed (RFC 7519 §3) keeps its claims, which clients read, and loses its signature, without which
/// nobody accepts it.
pub(super) fn sentinel(token: &str, prefix: &str) -> Result<String, SentinelError> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    if !(MIN_TOKEN..=MAX_TOKEN).contains(&token.len()) || !token.bytes().all(plain) {
        return Err(SentinelError::Odd);
    }
    let mut random = [0; RANDOM];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| SentinelError::NoRandom)?;
    let random = URL_SAFE_NO_PAD.encode(random);
    Ok(match claims(token) {
        Some(claims) => format!("{claims}.{MARK}{random}"),
        None => format!("{prefix}{MARK}{random}"),
    })
}

/// Head and claims of a signed token.
fn claims(token: &str) -> Option<&str> {
    let (claims, signature) = token.rsplit_once('.')?;
    let (head, payload) = claims.split_once('.')?;
    let is_json = |part: &str| {
        let text = URL_SAFE_NO_PAD.decode(part).ok();
        text.is_some_and(|text| serde_json::from_slice::<serde_json::Value>(&text).is_ok())
    };
    let signed = !signature.is_empty() && is_json(head) && is_json(payload);
    signed.then_some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"email":"a@b"}"#);
        let signed = format!("{head}.{claims}.c2lnbmF0dXJl");
        let rows = [
            (
                "sk-ant-oat01-secret",
                "sk-ant-oat01-",
                Ok("sk-ant-oat01-proxy-managed-".to_owned()),
            ),
            ("whatever-secret", "", Ok("proxy-managed-".to_owned())),
            ("a.secret.token", "", Ok("proxy-managed-".to_owned())),
            (&signed, "", Ok(format!("{head}.{claims}.proxy-managed-"))),
            ("short", "", Err(SentinelError::Odd)),
            ("with a space", "", Err(SentinelError::Odd)),
            ("with\"quote\"", "", Err(SentinelError::Odd)),
            ("line\r\nbreak", "", Err(SentinelError::Odd)),
        ];
        for (token, prefix, expected) in rows {
            match (sentinel(token, prefix), expected) {
                (Ok(made), Ok(expected)) => {
                    assert!(made.starts_with(&expected), "{made}");
                    assert!(
                        !made.contains("secret") && !made.contains("c2lnbmF0dXJl"),
                        "{made}"
                    );
                    assert_ne!(made, sentinel(token, prefix).unwrap());
                }
                (made, expected) => assert_eq!(made.err(), expected.err(), "{token}"),
            }
        }
    }
}
