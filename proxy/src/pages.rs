//! What the proxy tells a guest about itself, under `/.sandbox/`.
//!
//! Asked for directly (`GET /.sandbox/why` on the proxy's own port) or, since most clients send everything through
//! the proxy, as `http://host.docker.internal:3128/.sandbox/why`.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use jiff::Timestamp;
use policy_lang::Target;
use serde::Serialize;

use crate::answer::Answer;
use crate::audit::{Action, Event, Kind, RuleRef};
use crate::context::Context;
use crate::denial::Format;
use crate::request::Scope;
use crate::session::Session;

const PREFIX: &str = "/.sandbox/";

/// The proxy as guests address it, in canonical form.
const GUEST_ADDRESS: &str = "localhost:3128";

/// The page that `request` asks for, if it asks for one.
pub(crate) fn answer<B>(session: &Session, request: &Request<B>) -> Option<Response<Answer>> {
    let name = request.uri().path().strip_prefix(PREFIX)?;
    if !matches!(session.scope, Scope::Proxy) || !is_ours(request.uri()) {
        return None;
    }
    let json = Format::of(request.headers()) == Format::Problem;
    let readable = matches!(*request.method(), Method::GET | Method::HEAD);
    Some(match name {
        _ if !readable => page(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "only GET and HEAD\n".into(),
        ),
        "why" if json => page(StatusCode::OK, JSON, why_json(&session.context)),
        "why" => page(StatusCode::OK, TEXT, why(&session.context)),
        "ca.crt" => page(
            StatusCode::OK,
            PEM,
            session.context.minter.authority_pem().to_owned(),
        ),
        "health" => page(StatusCode::OK, TEXT, "ok\n".into()),
        _ => page(
            StatusCode::NOT_FOUND,
            TEXT,
            "there are: why, ca.crt, health\n".into(),
        ),
    })
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PEM: &str = "application/x-pem-file";

fn is_ours(uri: &Uri) -> bool {
    match uri.authority() {
        None => true,
        Some(authority) => {
            let target = Target::parse(authority.as_str(), None);
            target.is_ok_and(|target| target.to_string() == GUEST_ADDRESS)
        }
    }
}

/// The last denials, newest first, in sentences.
fn why(context: &Context) -> String {
    let troubles = context.recorder.troubles();
    if troubles.is_empty() {
        return "Nothing has been refused.\n".to_owned();
    }
    let mut text = "What was refused or failed, newest first.\n".to_owned();
    for event in troubles.iter().rev() {
        let _ = write!(
            text,
            "\n{event}\n  {} ({})\n",
            message(event),
            event.reason.as_deref().unwrap_or_default()
        );
        if let Some(rule) = &event.rule {
            let line = rule.line.map(|line| format!(":{line}")).unwrap_or_default();
            let _ = writeln!(text, "  rule: {} ({}{line})", rule.text, rule.source);
        }
    }
    text
}

fn message(event: &Event) -> &str {
    event.message.as_deref().unwrap_or("no further reason")
}

/// What [`why`] says, for programs. No more than that: which address or proxy a name leads to is not the guest's affair.
#[derive(Serialize)]
struct Trouble<'a> {
    timestamp: Timestamp,
    sandbox: &'a str,
    #[serde(rename = "type")]
    kind: Kind,
    method: &'a str,
    url: &'a str,
    action: Action,
    reason: Option<&'a str>,
    message: &'a str,
    rule: Option<&'a RuleRef>,
}

impl<'a> From<&'a Event> for Trouble<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            timestamp: event.timestamp,
            sandbox: &event.sandbox,
            kind: event.kind,
            method: &event.method,
            url: &event.url,
            action: event.action,
            reason: event.reason.as_deref(),
            message: message(event),
            rule: event.rule.as_ref(),
        }
    }
}

fn why_json(context: &Context) -> String {
    let troubles = context.recorder.troubles();
    let told: Vec<Trouble<'_>> = troubles.iter().map(Trouble::from).collect();
    serde_json::to_string(&told).unwrap_or_default()
}

fn page(status: StatusCode, kind: &'static str, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Own(Some(Bytes::from(body))));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
