//! What the proxy says when it does not pass a request on: to people, to programs, and to gRPC clients.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use policy_lang::{Host, Target};
use serde::Serialize;

use crate::answer::Answer;
use crate::audit::RuleRef;
use crate::cause::Cause;
use crate::gate::Refusal;
use crate::headers;

/// Says why, in one stable word.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-sandbox-reason");

/// How a client is to say who it is (RFC 7617 §2). One challenge for everything that is wrong: it tells nobody which.
const CHALLENGE: &str = "Basic realm=\"sandbox proxy\", charset=\"UTF-8\"";

/// What the client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Plain text.
    Text,
    /// A page, for browsers.
    Html,
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// A gRPC status in the trailers.
    Grpc,
}

impl Format {
    /// By the fields of the request: the first type in `Accept` that we have, and text for those who do not say.
    pub(crate) fn of(fields: &HeaderMap) -> Self {
        if headers::is_grpc(fields) {
            return Self::Grpc;
        }
        let accept = fields.get_all(header::ACCEPT).iter();
        let types = accept.flat_map(|value| value.to_str().unwrap_or_default().split(','));
        types
            .filter_map(
                |kind| match kind.split(';').next().unwrap_or_default().trim() {
                    "application/json" | "application/problem+json" => Some(Self::Problem),
                    "text/html" | "application/xhtml+xml" => Some(Self::Html),
                    kind if kind.starts_with("text/") || kind == "*/*" => Some(Self::Text),
                    _ => None,
                },
            )
            .next()
            .unwrap_or(Self::Text)
    }
}

/// A refusal, or a failure, in words.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Denial {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "status_code")]
    status: StatusCode,
    detail: String,
    /// The stable word.
    reason: &'static str,
    /// Whether the same request may succeed later without anybody changing anything.
    retryable: bool,
    /// Seconds until there is room again, for a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleRef>,
    /// An allowed host that may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<String>,
    /// What to type on the host to let it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

fn status_code<S: serde::Serializer>(
    status: &StatusCode,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Denial {
    /// The answer for `cause`. `advice` is the command that changes the policy.
    pub(crate) fn new(cause: &Cause, target: Option<&Target>, advice: Option<&str>) -> Self {
        let facts = cause.facts();
        let blocked = facts.status == StatusCode::FORBIDDEN;
        Self {
            kind: "about:blank",
            title: match blocked {
                true => "Blocked by the sandbox's network policy",
                false => "The sandbox's proxy could not pass this request on",
            },
            status: facts.status,
            detail: cause.sentence(),
            reason: facts.code,
            retryable: cause.is_retryable(),
            retry_after: match cause {
                // Rounded up: a client that comes back early is refused again.
                Cause::Limited { wait, .. } => {
                    Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
                }
                _ => None,
            },
            host: target.map(ToString::to_string),
            rule: cause
                .ruling()
                .filter(|_| blocked)
                .and_then(|ruling| ruling.rule.clone()),
            nearest: cause
                .ruling()
                .filter(|_| blocked)
                .and_then(|ruling| ruling.nearest.clone()),
            remedy: change(cause, target).map(|change| match advice {
                Some(command) => format!("{command} {change}"),
                None => format!("add it to the policy file ({change})"),
            }),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}.\n\n", self.title);
        if let Some(host) = &self.host {
            text += &format!("  host:    {host}\n");
        }
        text += &format!("  reason:  {} ({})\n", self.detail, self.reason);
        if self.status == StatusCode::FORBIDDEN {
            text += &match &self.rule {
                None => "  rule:    none; the default decided\n".to_owned(),
                Some(RuleRef {
                    text,
                    source,
                    line: None,
                }) => format!("  rule:    {text} ({source})\n"),
                Some(RuleRef {
                    text,
                    source,
                    line: Some(line),
                }) => format!("  rule:    {text} ({source}:{line})\n"),
            };
        }
        if let Some(nearest) = &self.nearest {
            text += &format!("\nDid you mean {nearest}? It is allowed.\n");
        }
        if let Some(remedy) = &self.remedy {
            text += &format!("\nTo allow it, on the host:\n  {remedy}\n");
        }
        text
    }

    /// The same as a page. What a guest wrote is escaped.
    fn html(&self) -> String {
        let escaped = self
            .text()
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{}</title>\n<pre>{escaped}</pre>\n",
            self.title
        )
    }

    /// As an HTTP/1.1 message, for a connection on which nothing else is answered. Closes the connection.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (body, phrase) = (
            self.text(),
            self.status.canonical_reason().unwrap_or("Error"),
        );
        let challenge = match self.status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                format!("{}: {CHALLENGE}\r\n", header::PROXY_AUTHENTICATE)
            }
            _ => String::new(),
        };
        format!(
            "HTTP/1.1 {} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n{REASON}: {}\r\n{challenge}\
             content-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{body}",
            self.status.as_u16(),
            self.reason,
            body.len(),
        )
        .into_bytes()
    }

    pub(crate) fn into_response(self, format: Format) -> Response<Answer> {
        let (kind, body) = match format {
            Format::Grpc => return self.into_grpc(),
            Format::Text => ("text/plain; charset=utf-8", self.text().into_bytes()),
            Format::Html => ("text/html; charset=utf-8", self.html().into_bytes()),
            Format::Problem => (
                "application/problem+json",
                serde_json::to_vec(&self).unwrap_or_default(),
            ),
        };
        let mut response = Response::new(Answer::Own(Some(Bytes::from(body))));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(REASON, HeaderValue::from_static(self.reason));
        if self.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let challenge = HeaderValue::from_static(CHALLENGE);
            fields.insert(header::PROXY_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// A trailers-only answer: its fields are both head and trailers (gRPC over HTTP/2, "Responses").
    fn into_grpc(self) -> Response<Answer> {
        const PERMISSION_DENIED: &str = "7";
        const UNAVAILABLE: &str = "14";
        let status = if self.status == StatusCode::FORBIDDEN {
            PERMISSION_DENIED
        } else {
            UNAVAILABLE
        };
        let mut response = Response::new(Answer::Own(None));
        let fields = response.headers_mut();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        fields.insert("grpc-status", HeaderValue::from_static(status));
        if let Ok(message) = HeaderValue::from_str(&percent_encoded(&self.grpc_message())) {
            fields.insert("grpc-message", message);
        }
        fields.insert(REASON, HeaderValue::from_static(self.reason));
        response
    }

    fn grpc_message(&self) -> String {
        let nearest = self.nearest.as_ref();
        let nearest = nearest.map(|nearest| format!("; did you mean {nearest}?"));
        let remedy = self
            .remedy
            .as_ref()
            .map(|remedy| format!("; to allow it: {remedy}"))
            .unwrap_or_default();
        let nearest = nearest.unwrap_or_default();
        format!("{}: {}{nearest}{remedy}", self.title, self.detail)
    }
}

/// As gRPC wants messages: everything but printable ASCII, and the percent sign, escaped.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
        out
    })
}

/// The flag that would let it pass, if one would.
fn change(cause: &Cause, target: Option<&Target>) -> Option<String> {
    let target = target?;
    match cause {
        Cause::Refused(Refusal::Host(ruling)) => Some(match &ruling.blocked_by {
            Some(pattern) if !pattern.contains('*') => format!("--remove-host {pattern}"),
            _ => format!("--allow-host {target}"),
        }),
        Cause::Refused(Refusal::Address { ruling, address }) => match ruling.code {
            "own-listener" => None,
            "metadata" => Some(format!("--allow-host {}", Host::Addr(*address))),
            _ => Some(format!("--allow-host {target}")),
        },
        Cause::NotHttp => Some(format!("--bypass-host {target}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let rows = [
            (None, Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html, application/json"), Format::Html),
            (Some("text/plain, text/html"), Format::Text),
            (Some("application/json, text/plain, */*"), Format::Problem),
            (
                Some("application/vnd.x+json, application/problem+json;q=0.9"),
                Format::Problem,
            ),
        ];
        for (accept, expected) in rows {
            let mut fields = HeaderMap::new();
            if let Some(accept) = accept {
                fields.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Format::of(&fields), expected, "{accept:?}");
        }
    }

    #[test]
    fn grpc_messages_are_escaped() {
        assert_eq!(percent_encoded("a b%ü\n"), "a b%25%C3%BC%0A");
    }
}
