//! Setting a credential on a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use policy_lang::{Credential, Placement};
use secrecy::zeroize::Zeroizing;

use super::secret::Secret;
use super::{CredentialError, strip};

/// A credential's value: the secret in its format.
pub(super) struct Value {
    text: Zeroizing<String>,
}

impl Value {
    /// `as "Basic user:%s"` is encoded as the Basic scheme wants it (RFC 7617): what is encoded already has no colon.
    pub(super) fn new(credential: &Credential, secret: &Secret) -> Self {
        let text = match &credential.format {
            Some(format) => format.replace("%s", secret.expose()),
            None => secret.expose().to_owned(),
        };
        let text = Zeroizing::new(text);
        let basic = text
            .strip_prefix("Basic ")
            .filter(|rest| rest.contains(':'));
        match basic {
            Some(user_and_password) => Self {
                text: Zeroizing::new(format!("Basic {}", *base64(user_and_password))),
            },
            None => Self { text },
        }
    }

    /// The part of it that must not come back: without the scheme in front.
    pub(super) fn secret_part(&self) -> &str {
        self.text.rsplit(' ').next().unwrap_or_default()
    }

    fn header(&self) -> Result<HeaderValue, CredentialError> {
        let value = HeaderValue::try_from(self.text.as_str());
        let mut value = value.map_err(|_| CredentialError::BadBytes)?;
        // Never shown by `Debug`, never indexed by HPACK.
        value.set_sensitive(true);
        Ok(value)
    }

    /// As a pair of a query or form.
    fn pair(&self, name: &str) -> Zeroizing<String> {
        Zeroizing::new(format!("{name}={}", *percent_encoded(&self.text)))
    }
}

/// What a request has that a credential can be set in.
pub(super) struct Parts<'r> {
    pub(super) fields: &'r mut HeaderMap,
    pub(super) path: &'r mut PathAndQuery,
    /// The form in the body, where there is one.
    pub(super) form: Option<&'r mut Zeroizing<String>>,
}

impl Parts<'_> {
    /// Sets `value`. False if the request has no such place: it carries no form.
    pub(super) fn set(
        &mut self,
        place: &Placement,
        value: &Value,
    ) -> Result<bool, CredentialError> {
        match place {
            Placement::Header(name) => {
                let name = HeaderName::try_from(&**name)
                    .map_err(|_| CredentialError::BadHeader(name.to_string()))?;
                strip::other_spellings(self.fields, &name);
                self.fields.insert(name, value.header()?);
            }
            Placement::Query(name) => {
                let query = appended(self.path.query().unwrap_or_default(), &value.pair(name));
                *self.path = strip::with_query(self.path, &query)?;
            }
            Placement::Form(name) => match &mut self.form {
                None => return Ok(false),
                Some(form) => {
                    let whole = appended(form, &value.pair(name));
                    **form = whole;
                }
            },
        }
        Ok(true)
    }
}

fn appended(pairs: &str, pair: &str) -> Zeroizing<String> {
    let separator = if pairs.is_empty() { "" } else { "&" };
    Zeroizing::new(format!("{pairs}{separator}{pair}"))
}

/// Whether the body is a form.
pub(super) fn is_form(fields: &HeaderMap) -> bool {
    is_of(fields, "application/x-www-form-urlencoded")
}

/// Whether the body is of this media type, whatever its parameters.
pub(super) fn is_of(fields: &HeaderMap, wanted: &str) -> bool {
    let kind = fields.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Everything but unreserved characters (RFC 3986 §2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) fn percent_encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(utf8_percent_encode(text, &RESERVED).to_string())
}

/// A name or a value of a form, as servers read it.
pub(super) fn form_decoded(text: &str) -> Option<Zeroizing<String>> {
    let spaced = Zeroizing::new(text.replace('+', " "));
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Zeroizing::new(decoded.into_owned()))
}

fn base64(text: &str) -> Zeroizing<String> {
    Zeroizing::new(BASE64.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(place: Placement, format: Option<&str>) -> Credential {
        Credential {
            place,
            from: policy_lang::SecretSource::Env("X".into()),
            format: format.map(Into::into),
            path: None,
            limit: None,
            budget: None,
        }
    }

    #[test]
    fn values() {
        let rows = [
            (None, "a b", "a b"),
            (Some("Bearer %s"), "k", "Bearer k"),
            (Some("Basic %s"), "dTpw", "Basic dTpw"),
            (Some("Basic u:%s"), "p", "Basic dTpw"),
        ];
        for (format, secret, expected) in rows {
            let credential = credential(Placement::Header("authorization".into()), format);
            let value = Value::new(&credential, &Secret::new(secret).unwrap());
            assert_eq!(*value.text, expected);
            assert!(value.header().unwrap().is_sensitive());
        }
    }

    #[test]
    fn places() {
        let rows = [
            (
                Placement::Query("key".into()),
                "/a",
                None,
                "/a?key=s%2F%25%C3%BC",
                None,
            ),
            (
                Placement::Query("key".into()),
                "/a?b=c",
                None,
                "/a?b=c&key=s%2F%25%C3%BC",
                None,
            ),
            (
                Placement::Form("key".into()),
                "/a",
                Some(""),
                "/a",
                Some("key=s%2F%25%C3%BC"),
            ),
            (
                Placement::Form("key".into()),
                "/a",
                Some("b=c"),
                "/a",
                Some("b=c&key=s%2F%25%C3%BC"),
            ),
            (Placement::Form("key".into()), "/a", None, "/a", None),
        ];
        for (place, path, form, expected_path, expected_form) in rows {
            let credential = credential(place, None);
            let value = Value::new(&credential, &Secret::new("s/%ü").unwrap());
            let mut path = path.parse().unwrap();
            let mut form = form.map(|form: &str| Zeroizing::new(form.to_owned()));
            let set = Parts {
                fields: &mut HeaderMap::new(),
                path: &mut path,
                form: form.as_mut(),
            }
            .set(&credential.place, &value)
            .unwrap();
            assert_eq!(path, expected_path);
            assert_eq!(form.as_ref().map(|form| form.as_str()), expected_form);
            assert_eq!(
                set,
                !matches!(credential.place, Placement::Form(_)) || form.is_some()
            );
        }
    }

    /// A path that is too long with it is not replaced by another, which nobody judged.
    #[test]
    fn a_path_without_space_for_it_is_an_error() {
        let credential = credential(Placement::Query("key".into()), None);
        // Each `/` takes three bytes in a query; a path takes 65534 altogether.
        let rows = [(16, true), (16 * 1024, false)];
        for (length, fits) in rows {
            let secret = Secret::new("/".repeat(length)).unwrap();
            let value = Value::new(&credential, &secret);
            let long = format!("/{}", "a".repeat(32 * 1024));
            let mut path: PathAndQuery = long.parse().unwrap();
            let set = Parts {
                fields: &mut HeaderMap::new(),
                path: &mut path,
                form: None,
            }
            .set(&credential.place, &value);
            assert!(path.path() == long, "{length}");
            let expected = if fits {
                Ok(true)
            } else {
                Err(CredentialError::NoSpace)
            };
            assert_eq!(set, expected, "{length}");
        }
    }
}
