//! Taking away what clients set themselves: it would be somebody else's account (threat K3).

use http::header::{self, HeaderMap, HeaderName};
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use super::CredentialError;

/// Headers that say who calls. A `Cookie` does as well.
const HEADERS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-access-token"),
    HeaderName::from_static("x-session-token"),
    HeaderName::from_static("private-token"),
    HeaderName::from_static("job-token"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-goog-iam-authorization-token"),
];

/// The same in a query or a form.
const PARAMETERS: [&str; 9] = [
    "key",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "auth_token",
    "oauth_token",
    "private_token",
    "client_secret",
];

/// Whether a header says who calls. Such a field never crosses as a trailer either.
pub(crate) fn is_credential(name: &HeaderName) -> bool {
    HEADERS.contains(name)
        || name.as_str().contains('_') && HEADERS.iter().any(|known| is_alike(known, name))
}

/// Removes every header that says who calls.
pub(super) fn headers(fields: &mut HeaderMap) {
    for name in &HEADERS {
        fields.remove(name);
    }
    remove_spelled(fields, is_credential);
}

/// Removes other spellings of `name`: origins that hand headers on as variables (CGI, WSGI) see no difference.
pub(super) fn other_spellings(fields: &mut HeaderMap, name: &HeaderName) {
    remove_spelled(fields, |other| other != name && is_alike(name, other));
}

/// Removes headers that have `_` in their names, as far as `wanted` says.
fn remove_spelled(fields: &mut HeaderMap, wanted: impl Fn(&HeaderName) -> bool) {
    let spelled: Vec<HeaderName> = fields
        .keys()
        .filter(|name| name.as_str().contains('_') && wanted(name))
        .cloned()
        .collect();
    for name in spelled {
        fields.remove(name);
    }
}

/// Whether the names are the same but for `_` in place of `-`.
fn is_alike(one: &HeaderName, other: &HeaderName) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let bytes = |name: &HeaderName| name.as_str().bytes().map(plain).collect::<Vec<_>>();
    one.as_str().len() == other.as_str().len() && bytes(one) == bytes(other)
}

/// `path` without parameters that say who calls, nor those in `also`.
pub(super) fn query(path: &PathAndQuery, also: &[&str]) -> Result<PathAndQuery, CredentialError> {
    let Some(query) = path.query() else {
        return Ok(path.clone());
    };
    let kept = parameters(query, also);
    if kept.len() == query.len() {
        return Ok(path.clone());
    }
    with_query(path, &kept)
}

/// `path` with another query. Never another path: this one was judged.
pub(super) fn with_query(
    path: &PathAndQuery,
    query: &str,
) -> Result<PathAndQuery, CredentialError> {
    let separator = if query.is_empty() { "" } else { "?" };
    let text = format!("{}{separator}{query}", path.path());
    PathAndQuery::try_from(text).map_err(|_| CredentialError::NoSpace)
}

/// Pairs joined by `&`, without those that say who calls.
pub(super) fn parameters(pairs: &str, also: &[&str]) -> String {
    let says_who = |pair: &&str| {
        // As servers read it: `k%65y` is `key`.
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy();
        let mut known = PARAMETERS.iter().chain(also);
        known.any(|known| known.eq_ignore_ascii_case(&name))
    };
    let kept: Vec<_> = pairs.split('&').filter(|pair| !says_who(pair)).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_removed_however_they_are_spelled() {
        let mut fields = HeaderMap::new();
        for name in [
            "x-api-key",
            "x_api_key",
            "x-api_key",
            "x_mine",
            "x-mine",
            "x_other",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            fields.insert(name, header::HeaderValue::from_static("own"));
        }
        headers(&mut fields);
        other_spellings(&mut fields, &HeaderName::from_static("x-mine"));
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-mine", "x_other"]);
    }

    #[test]
    fn queries_lose_what_says_who_calls() {
        let rows = [
            ("/a?b=c", "/a?b=c"),
            ("/a?key=s", "/a"),
            ("/a?x=1&KEY=s&y=2", "/a?x=1&y=2"),
            ("/a?access_token", "/a"),
            ("/a?k%65y=s&%6bey=t&z", "/a?z"),
            ("/a?mine=s&keys=1", "/a?keys=1"),
            ("/a?%zz=1&%=2", "/a?%zz=1&%=2"),
        ];
        for (path, expected) in rows {
            let stripped = query(&path.parse().unwrap(), &["mine"]).unwrap();
            assert_eq!(stripped.as_str(), expected);
        }
    }
}
