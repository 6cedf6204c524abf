//! What a client says to a token endpoint, with tokens for sentinels (RFC 6749 §6, RFC 7009 §2.1, RFC 8693 §2.1).
//!
//! A sentinel counts where it is the whole of what such a request says a token in. Anywhere else in the body it stays: the
//! vendor might show that to somebody.

use http::header::{self, HeaderMap};
use secrecy::zeroize::Zeroizing;
use serde_json::{Map, Value};

use crate::credentials::place::{self, form_decoded, percent_encoded};

/// What says a token: one to be renewed, one to be given up or looked at, and one that another is wanted for.
const KEYS: [&str; 3] = ["refresh_token", "token", "subject_token"];

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Form,
    Json,
}

impl Kind {
    /// None where the body is written otherwise, or is said to be two things.
    pub(super) fn of(fields: &HeaderMap) -> Option<Self> {
        let said = fields.get_all(header::CONTENT_TYPE).iter().count();
        match said {
            1 if place::is_form(fields) => Some(Self::Form),
            1 if place::is_of(fields, "application/json") => Some(Self::Json),
            _ => None,
        }
    }
}

/// `body` written anew with what `token_of` knows for a sentinel; none if it knows nothing that is said there.
pub(super) fn revealed(
    body: &[u8],
    kind: Kind,
    token_of: impl Fn(&str) -> Option<Zeroizing<String>>,
) -> Option<Zeroizing<Vec<u8>>> {
    match kind {
        Kind::Form => form(str::from_utf8(body).ok()?, token_of),
        Kind::Json => json(serde_json::from_slice(body).ok()?, token_of),
    }
}

fn form(
    body: &str,
    token_of: impl Fn(&str) -> Option<Zeroizing<String>>,
) -> Option<Zeroizing<Vec<u8>>> {
    let token = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let says = KEYS.contains(&form_decoded(key)?.as_str());
        let token = token_of(&form_decoded(value)?).filter(|_| says)?;
        Some(Zeroizing::new(format!(
            "{key}={}",
            *percent_encoded(&token)
        )))
    };
    let mut out = Zeroizing::new(Vec::with_capacity(body.len()));
    let mut swapped = false;
    for (at, pair) in body.split('&').enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        let token = token(pair);
        swapped |= token.is_some();
        out.extend_from_slice(token.as_ref().map_or(pair, |token| token).as_bytes());
    }
    swapped.then_some(out)
}

fn json(
    mut fields: Map<String, Value>,
    token_of: impl Fn(&str) -> Option<Zeroizing<String>>,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut swapped = Vec::new();
    for key in KEYS {
        if let Some(Value::String(said)) = fields.get_mut(key)
            && let Some(token) = token_of(said)
        {
            said.clone_from(&token);
            swapped.push(key);
        }
    }
    let out = serde_json::to_vec(&fields).ok().map(Zeroizing::new);
    for key in &swapped {
        if let Some(Value::String(token)) = fields.remove(*key) {
            drop(Zeroizing::new(token));
        }
    }
    out.filter(|_| !swapped.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let rows: [(&[&str], Option<Kind>); 8] = [
            (&["application/json"], Some(Kind::Json)),
            (&["Application/JSON ; charset=utf-8"], Some(Kind::Json)),
            (&["application/x-www-form-urlencoded"], Some(Kind::Form)),
            (&["application/json-patch+json"], None),
            (&["text/plain"], None),
            (&["text/plain; application/json"], None),
            (&["application/json", "application/json"], None),
            (&[], None),
        ];
        for (said, expected) in rows {
            let mut fields = HeaderMap::new();
            for kind in said {
                fields.append(header::CONTENT_TYPE, kind.parse().unwrap());
            }
            assert_eq!(Kind::of(&fields), expected, "{said:?}");
        }
    }

    #[test]
    fn rows() {
        let rows = [
            (
                Kind::Json,
                r#"{"z":1,"refresh_token":"S","a":[]}"#,
                Some(r#"{"z":1,"refresh_token":"t/1","a":[]}"#),
            ),
            (
                Kind::Json,
                r#"{"\u0074oken":"\u0053"}"#,
                Some(r#"{"token":"t/1"}"#),
            ),
            // Read as one, and therefore written as one.
            (
                Kind::Json,
                r#"{"token":"x","token":"S"}"#,
                Some(r#"{"token":"t/1"}"#),
            ),
            (Kind::Json, r#"{"token":"S","token":"x"}"#, None),
            (Kind::Json, r#"{"token":"SS"}"#, None),
            (Kind::Json, r#"{"Token":"S"}"#, None),
            (Kind::Json, r#"{"token":{"token":"S"}}"#, None),
            (Kind::Json, r#"{"token":"S"} "S""#, None),
            (Kind::Json, r#""S""#, None),
            (
                Kind::Form,
                "a=+%2f&subject_token=S&&b",
                Some("a=+%2f&subject_token=t%2F1&&b"),
            ),
            (
                Kind::Form,
                "%74oken=%53&token=S&x=S",
                Some("%74oken=t%2F1&token=t%2F1&x=S"),
            ),
            (Kind::Form, "token=S&a=%ff", Some("token=t%2F1&a=%ff")),
            (Kind::Form, "token=S+", None),
            (Kind::Form, "token=S;a=b", None),
            (Kind::Form, "token", None),
            (Kind::Form, "", None),
        ];
        for (kind, body, expected) in rows {
            let token_of = |said: &str| (said == "S").then(|| Zeroizing::new("t/1".to_owned()));
            let got = revealed(body.as_bytes(), kind, token_of);
            let got = got.map(|got| String::from_utf8(got.to_vec()).unwrap());
            assert_eq!(got.as_deref(), expected, "{body}");
        }
    }
}
