//! A token endpoint's answer without its tokens (RFC 6749 §5.1; OpenID Connect Core §3.1.3.3).

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

use super::sentinel::SentinelError;
use crate::credentials::place::form_decoded;

/// What holds a token, or a key that was had for one.
const KEYS: [&str; 5] = [
    "access_token",
    "refresh_token",
    "id_token",
    "raw_key",
    "api_key",
];

/// Why an answer cannot be looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("answer is neither JSON nor a form")]
    Unreadable,
    #[error("answer {0}")]
    Token(#[from] SentinelError),
}

/// `body` as written anew from what was understood of it, with what `keep` makes of each token in its place.
pub(super) fn rewritten(
    body: &[u8],
    form: bool,
    mut keep: impl FnMut(&str) -> Result<String, SentinelError>,
) -> Result<Vec<u8>, AnswerError> {
    if form {
        return pairs(body, &mut keep);
    }
    let mut value: Value = serde_json::from_slice(body).map_err(|_| AnswerError::Unreadable)?;
    walk(&mut value, &mut keep)?;
    serde_json::to_vec(&value).map_err(|_| AnswerError::Unreadable)
}

fn walk(
    value: &mut Value,
    keep: &mut impl FnMut(&str) -> Result<String, SentinelError>,
) -> Result<(), AnswerError> {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                match field {
                    Value::String(token) if is_token(key, token) => {
                        let sentinel = keep(token)?;
                        drop(Zeroizing::new(std::mem::replace(token, sentinel)));
                    }
                    other => walk(other, keep)?,
                }
            }
            Ok(())
        }
        Value::Array(values) => values.iter_mut().try_for_each(|value| walk(value, keep)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn pairs(
    body: &[u8],
    keep: &mut impl FnMut(&str) -> Result<String, SentinelError>,
) -> Result<Vec<u8>, AnswerError> {
    let text = str::from_utf8(body).map_err(|_| AnswerError::Unreadable)?;
    let mut out = Vec::new();
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| form_decoded(text).ok_or(AnswerError::Unreadable);
        let (name, token) = (decoded(key)?, decoded(value)?);
        out.push(match is_token(&name, &token) {
            true => {
                let sentinel = keep(&token)?;
                format!("{key}={}", utf8_percent_encode(&sentinel, NON_ALPHANUMERIC))
            }
            false => pair.to_owned(),
        });
    }
    Ok(out.join("&").into_bytes())
}

fn is_token(key: &str, value: &str) -> bool {
    KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)) && !value.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let rows: &[(&str, bool, Result<&str, AnswerError>)] = &[
            (
                r#"{"access_token":"aaaa","expires_in":3600,"refresh_token":"rrrr","scope":"x y"}"#,
                false,
                Ok(
                    r#"{"access_token":"<aaaa>","expires_in":3600,"refresh_token":"<rrrr>","scope":"x y"}"#,
                ),
            ),
            (
                r#"{"data":[{"Access_Token":"aaaa"},{"id_token":null,"access_token":{"access_token":"bbbb"}}]}"#,
                false,
                Ok(
                    r#"{"data":[{"Access_Token":"<aaaa>"},{"id_token":null,"access_token":{"access_token":"<bbbb>"}}]}"#,
                ),
            ),
            (
                r#"{"access_token":"first","access_token":"second"}"#,
                false,
                Ok(r#"{"access_token":"<second>"}"#),
            ),
            (
                r#"{"\u0061ccess_token":"aaaa"}"#,
                false,
                Ok(r#"{"access_token":"<aaaa>"}"#),
            ),
            (
                r#"{"error":"slow_down"}"#,
                false,
                Ok(r#"{"error":"slow_down"}"#),
            ),
            (
                r#"{"access_token":""}"#,
                false,
                Ok(r#"{"access_token":""}"#),
            ),
            ("<html>", false, Err(AnswerError::Unreadable)),
            (
                "{\"access_token\":\"aa",
                false,
                Err(AnswerError::Unreadable),
            ),
            (
                r#"{"access_token":"odd"}"#,
                false,
                Err(AnswerError::Token(SentinelError::Odd)),
            ),
            (
                "access_token=aaaa&scope=&token_type=bearer",
                true,
                Ok("access_token=%3Caaaa%3E&scope=&token_type=bearer"),
            ),
            (
                "%61ccess_token=aa%2Fa",
                true,
                Ok("%61ccess_token=%3Caa%2Fa%3E"),
            ),
            ("access_token=%ff", true, Err(AnswerError::Unreadable)),
        ];
        for (body, form, expected) in rows {
            let got = rewritten(body.as_bytes(), *form, |token| match token {
                "odd" => Err(SentinelError::Odd),
                token => Ok(format!("<{token}>")),
            });
            let got = got.map(|got| String::from_utf8(got).unwrap());
            assert_eq!(
                got.as_deref(),
                expected.as_ref().map(|text| *text),
                "{body}"
            );
        }
    }
}
