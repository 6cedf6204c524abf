//! One HTTP request, from its head to the end of its answer. Every adapter ends here: absolute-form, inside a tunnel,
//! inside intercepted TLS.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::sync::watch;

use crate::answer::{Answer, Idle, OriginAnswer};
use crate::audit::{Carriage, Stage};
use crate::cause::Cause;
use crate::context::Context;
use crate::credentials::{self, Scrubber};
use crate::denial::Format;
use crate::gate::Route;
use crate::headers::{self, Trailers, Upgrade};
use crate::http1::guard::Busy;
use crate::http1::head::{self, HeadError};
use crate::pages;
use crate::record::{Record, Traffic};
use crate::request::Asked;
use crate::route::upgraded::{self, Sides};
use crate::session::{Panics, Session};
use crate::stall::Stall;
use crate::terms;
use crate::upstream::body::{Expect, Expecting, RequestBody};
use crate::upstream::pool::{Key, Lease};
use crate::upstream::send::send;
use crate::upstream::sender::Protocol;

/// How long a body is held back for an origin that ignores `Expect: 100-continue` (RFC 9110 §10.1.1 leaves it open).
const EXPECT_PATIENCE: Duration = Duration::from_secs(1);

/// Answers `request`, whatever it takes. Never fails: every cause becomes an answer.
pub(crate) async fn answer(
    session: Arc<Session>,
    request: Request<Incoming>,
    busy: Busy,
) -> Response<Answer> {
    let context = session.context.clone();
    if let Some(page) = pages::answer(&session, &request) {
        return page;
    }
    let (format, version) = (Format::of(request.headers()), request.version());
    let asked = session.scope.asked(request.uri(), request.headers());
    let mut record = context
        .recorder
        .begin(request.method().as_str(), &url(&asked, request.uri()));
    record.revocable(session.revocation());
    let asked = match asked {
        Ok(asked) => asked,
        Err(cause) => {
            record.failed(&cause);
            return last(context.denial(&cause, None).into_response(format), version);
        }
    };
    match exchange(&session, &asked, request, &mut record).await {
        Ok(Exchanged::Answer {
            response,
            lease,
            expect,
            scrub,
        }) => stream(&context, response, lease, expect, scrub, record, busy),
        Ok(Exchanged::Upgraded { response, sides }) => {
            session.shared.upgraded();
            let panics = Panics(context.clone());
            context.tasks.spawn(async move {
                let _panics = panics;
                upgraded::serve(session, sides, record, busy).await;
            });
            response.map(|()| Answer::Own(None))
        }
        Err(cause) => {
            // A budget that ran out shows itself as a body that ends early.
            let cause = record.traffic().within().err().unwrap_or(cause);
            record.failed(&cause);
            let denial = context.denial(&cause, Some(&asked.target));
            last(denial.into_response(format), version)
        }
    }
}

/// Whoever sends what is malformed may mean something else by all that follows: over HTTP/1 that is not read.
fn last(mut response: Response<Answer>, version: Version) -> Response<Answer> {
    if response.status() == StatusCode::BAD_REQUEST && version != Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// The answer to what was not even a request.
pub(crate) fn refuse(context: &Context, cause: &Cause) -> Response<Answer> {
    context.recorder.begin("", "").failed(cause);
    let mut response = context.denial(cause, None).into_response(Format::Text);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Scheme, host and path; never the query.
fn url(asked: &Result<Asked, Cause>, uri: &Uri) -> String {
    match asked {
        Ok(asked) => [asked.scheme(), "://", &asked.authority(), uri.path()].concat(),
        Err(_) => format!(
            "{}{}",
            uri.authority().map_or("", |authority| authority.as_str()),
            uri.path()
        ),
    }
}

enum Exchanged {
    Answer {
        response: Response<Incoming>,
        lease: Lease,
        expect: Option<Expecting>,
        scrub: Option<Box<Scrubber>>,
    },
    Upgraded {
        response: Response<()>,
        sides: Sides,
    },
}

async fn exchange(
    session: &Session,
    asked: &Asked,
    mut request: Request<Incoming>,
    record: &mut Record,
) -> Result<Exchanged, Cause> {
    let context = &*session.context;
    record.target(&asked.target);
    if request.version() == Version::HTTP_2 {
        check_stream(&request)?;
    }
    context.recorder.log().check().map_err(|_| Cause::LogFull)?;
    record.stage(Stage::Host);
    let path = request.uri().path_and_query();
    let path = path.map_or("/", PathAndQuery::as_str);
    let (route, ruling) = context
        .gate
        .admit_request(&asked.target, request.method().as_str(), path)
        .await
        .map_err(Cause::Refused)?;
    record.admitted(
        &route,
        if asked.tls {
            Carriage::Intercept
        } else {
            Carriage::Plain
        },
    );
    if let Some(ruling) = ruling {
        record.ruled(&ruling);
    }
    let traffic = record.traffic();
    terms::charge(context, &asked.target, &traffic)?;
    if let Some(permit) = route.permits.first() {
        session.acts_on(permit);
    }
    let protocol = match request.version() {
        Version::HTTP_2 => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let client = match headers::upgrade(request.headers()) {
        Upgrade::None => None,
        // RFC 6455 §4.1: with a body nobody could tell where the other protocol begins.
        Upgrade::WebSocket if request.method() == Method::GET && request.body().is_end_stream() => {
            Some(hyper::upgrade::on(&mut request))
        }
        Upgrade::WebSocket | Upgrade::Other => return Err(Cause::Upgrade),
    };
    let (mut request, expect) = rebuild(request, asked, client.is_some(), &traffic)?;
    let injections = match asked.tls {
        true => terms::injections(context, &asked.target),
        false => Vec::new(),
    };
    let scrub = match injections.is_empty() {
        true => None,
        // COST: boxed, because most requests do without.
        false => {
            Box::pin(credentials::apply(
                context,
                &injections,
                &mut request,
                record,
            ))
            .await?
        }
    };
    let key = Key {
        target: asked.target.clone(),
        tls: asked.tls,
        protocol,
    };
    let (response, connection) = send(context, &route, &key, request, record).await?;
    if let Some(expect) = &expect {
        expect.send_if_modified(|expect| {
            *expect == Expect::Waiting && {
                *expect = Expect::Answered;
                true
            }
        });
    }
    check(&response)?;
    record.answered(response.status().as_u16());
    if response.status() == StatusCode::UNAUTHORIZED {
        context.credentials.refused(&injections).await;
    }
    match (response.status(), client) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(client)) => switch(response, client, &route),
        (StatusCode::SWITCHING_PROTOCOLS, None) => {
            Err(Cause::BadAnswer("an upgrade nobody asked for".into()))
        }
        _ => {
            let lease = Lease {
                pool: context.pool.clone(),
                key,
                connection,
            };
            Ok(Exchanged::Answer {
                response,
                lease,
                expect,
                scrub,
            })
        }
    }
}

/// What the strict head check refuses over HTTP/1, as far as HTTP/2 can say it and its library lets it pass.
fn check_stream(request: &Request<Incoming>) -> Result<(), Cause> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    match request.method().as_str() {
        "CONNECT" => Err(Cause::NestedConnect),
        "TRACE" | "TRACK" => Err(Cause::Head(HeadError::Trace)),
        "OPTIONS" if target == "*" => Ok(()),
        _ if target.starts_with('/') && head::is_target(target.as_bytes()) => Ok(()),
        _ => Err(Cause::Head(HeadError::RequestTarget)),
    }
}

/// The request as the origin gets it, put together from what was understood and not from what was received.
fn rebuild(
    request: Request<Incoming>,
    asked: &Asked,
    upgrade: bool,
    traffic: &Arc<Traffic>,
) -> Result<(Request<RequestBody>, Option<Expecting>), Cause> {
    let (parts, body) = request.into_parts();
    let host = HeaderValue::try_from(asked.authority())
        .map_err(|error| Cause::Target(error.to_string()))?;
    let expects = parts
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let trailers = Trailers::of(&parts.headers);
    let mut fields = headers::request(parts.headers, host);
    if parts.version == Version::HTTP_2
        && fields.remove(header::CONTENT_LENGTH).is_some()
        && let Some(length) = body.size_hint().exact()
    {
        // Said twice, or with zeros before it, it would be ambiguous in HTTP/1.
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if upgrade {
        headers::set_upgrade(&mut fields);
    }
    let mut body = RequestBody::new(body, trailers, traffic.clone());
    let mut expect = None;
    if expects && !body.is_empty() {
        fields.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        let (sender, receiver) = watch::channel(Expect::Waiting);
        body = body.held(receiver, EXPECT_PATIENCE);
        expect = Some(Arc::new(sender));
    }
    let mut rebuilt = Request::new(body);
    *rebuilt.method_mut() = parts.method;
    *rebuilt.uri_mut() = origin_form(&parts.uri);
    *rebuilt.version_mut() = Version::HTTP_11;
    *rebuilt.headers_mut() = fields;
    if let Some(expect) = expect.clone() {
        hyper::ext::on_informational(&mut rebuilt, move |response| {
            if response.status() == StatusCode::CONTINUE {
                expect.send_replace(Expect::Continue);
            }
        });
    }
    Ok((rebuilt, expect))
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    Uri::from(path)
}

/// Refuses answers that two parsers could read differently.
fn check(response: &Response<Incoming>) -> Result<(), Cause> {
    let fields = response.headers();
    let count = |name| fields.get_all(name).iter().count();
    let bad = |what: &str| Err(Cause::BadAnswer(what.to_owned()));
    let encodings = count(header::TRANSFER_ENCODING);
    if encodings > 0 && count(header::CONTENT_LENGTH) > 0 {
        return bad("`Content-Length` and `Transfer-Encoding` are both present");
    }
    if count(header::CONTENT_LENGTH) > 1 {
        return bad("`Content-Length` is there twice");
    }
    let length = fields.get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| head::decimal(length.as_bytes()).is_none()) {
        return bad("`Content-Length` is no plain number");
    }
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if encodings > 1
        || !fields
            .get_all(header::TRANSFER_ENCODING)
            .iter()
            .all(chunked)
    {
        return bad("`Transfer-Encoding` is not `chunked`");
    }
    if encodings == 1 && response.version() != Version::HTTP_11 {
        return bad("`Transfer-Encoding` in HTTP/1.0");
    }
    Ok(())
}

fn switch(
    mut response: Response<Incoming>,
    client: OnUpgrade,
    route: &Route,
) -> Result<Exchanged, Cause> {
    let asked: HeaderMap = response.headers().clone();
    if headers::upgrade(&asked) != Upgrade::WebSocket {
        return Err(Cause::BadAnswer(
            "an upgrade to another protocol than asked for".into(),
        ));
    }
    let origin = hyper::upgrade::on(&mut response);
    let permit = route.permits.first().cloned();
    let mut switched = Response::new(());
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *switched.headers_mut() = headers::answer(asked);
    headers::set_upgrade(switched.headers_mut());
    Ok(Exchanged::Upgraded {
        response: switched,
        sides: Sides {
            client,
            origin,
            permit,
        },
    })
}

/// The answer as the client gets it.
fn stream(
    context: &Context,
    response: Response<Incoming>,
    lease: Lease,
    expect: Option<Expecting>,
    scrub: Option<Box<Scrubber>>,
    record: Record,
    busy: Busy,
) -> Response<Answer> {
    let trailers = Trailers::of(response.headers());
    let (mut parts, body) = response.into_parts();
    if let Some(scrub) = &scrub {
        scrub.fields(&mut parts.headers);
    }
    let over = body.is_end_stream();
    let mut origin = OriginAnswer {
        body,
        trailers,
        record: Some(record),
        lease: Some(lease),
        expect,
        scrub,
        after: None,
        idle: Idle::new(context.limits.body_idle),
        stall: Stall::current(),
        busy: Some(busy),
    };
    if let Some(stall) = &origin.stall {
        stall.offer();
    }
    let mut answer = Response::new(if over {
        origin.complete();
        Answer::Own(None)
    } else {
        Answer::Origin(Box::new(origin))
    });
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = headers::answer(parts.headers);
    answer
}
