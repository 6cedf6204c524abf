//! One HTTP request, from its head to the end of its answer. Every adapter ends here: absolute-form, inside a tunnel,
//! inside intercepted TLS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Body as _;
use tokio::sync::watch;

use crate::answer::{Answer, Idle, OriginAnswer, Switched};
use crate::audit::{Carriage, Stage};
use crate::cause::Cause;
use crate::context::Context;
use crate::credentials::{self, Scrubber};
use crate::denial::Format;
use crate::downstream::ClientBody;
use crate::gate::Permit;
use crate::headers::{self, Trailers, Upgrade};
use crate::http1::head::{self, HeadError};
use crate::io::prefixed::Prefixed;
use crate::load::Busy;
use crate::pages;
use crate::record::Record;
use crate::request::{Asked, without_user_info};
use crate::session::Session;
use crate::stall::Stall;
use crate::terms;
use crate::traffic::Traffic;
use crate::upstream::answer::OriginBody;
use crate::upstream::body::{Expect, Expecting, RequestBody};
use crate::upstream::http1::AnswerError;
use crate::upstream::pool::{Key, Lease};
use crate::upstream::send::send;
use crate::upstream::sender::Protocol;
use crate::upstream::stream::Stream;

/// How long a body is held back for an origin that ignores `Expect: 100-continue` (RFC 9110 §10.1.1 leaves it open).
const EXPECT_PATIENCE: Duration = Duration::from_secs(1);

/// Answers `request`, whatever it takes. Never fails: every cause becomes an answer.
pub(crate) async fn answer(
    session: Arc<Session>,
    request: Request<ClientBody>,
    busy: Busy,
) -> Response<Answer> {
    let context = session.context.clone();
    if let Some(page) = pages::answer(&session, &request) {
        return page;
    }
    let (format, version) = (Format::of(request.headers()), request.version());
    let asked = session
        .scope
        .asked(request.uri(), request.headers(), &session.last);
    let mut record = session.record(request.method().as_str(), &url(&asked, request.uri()));
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
        Ok(Exchanged::Captured(response)) => {
            record.done();
            let (mut parts, body) = response.into_parts();
            headers::answer(&mut parts.headers);
            Response::from_parts(
                parts,
                Answer::Own(Some(body).filter(|body| !body.is_empty())),
            )
        }
        Ok(Exchanged::Switched {
            response,
            origin,
            permit,
        }) => response.map(|()| {
            Answer::Switched(Box::new(Switched {
                origin,
                permit,
                record,
                _busy: busy,
            }))
        }),
        Err(cause) => {
            // A budget that ran out shows itself as a body that ends early.
            let cause = record.traffic().within().err().map_or(cause, Cause::from);
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
pub(crate) fn refuse(context: &Context, mut record: Record, cause: &Cause) -> Response<Answer> {
    record.failed(cause);
    let mut response = context.denial(cause, None).into_response(Format::Text);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Scheme, host and path; never the query or a password.
fn url(asked: &Result<Arc<Asked>, Cause>, uri: &Uri) -> String {
    match asked {
        Ok(asked) => {
            let authority = asked.authority().to_str().unwrap_or_default();
            [asked.scheme(), "://", authority, uri.path()].concat()
        }
        Err(_) => {
            let authority = uri.authority().map_or("", Authority::as_str);
            [without_user_info(authority), uri.path()].concat()
        }
    }
}

enum Exchanged {
    Answer {
        response: Response<OriginBody>,
        lease: Lease,
        expect: Option<Expecting>,
        scrub: Option<Box<Scrubber>>,
    },
    /// An answer that was looked through before anybody else gets it.
    Captured(Response<Bytes>),
    Switched {
        response: Response<()>,
        origin: Prefixed<Stream>,
        permit: Option<Permit>,
    },
}

async fn exchange(
    session: &Session,
    asked: &Asked,
    request: Request<ClientBody>,
    record: &mut Record,
) -> Result<Exchanged, Cause> {
    let context = &*session.context;
    record.target(&asked.target);
    if request.version() == Version::HTTP_2 {
        check_stream(&request)?;
    }
    context.recorder.log().check().map_err(|_| Cause::LogFull)?;
    if context.crowd.is_full() {
        return Err(Cause::NoRoom);
    }
    if context.load.in_flight() > context.limits.requests {
        return Err(Cause::Busy);
    }
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
    traffic.add_head(|| head_size(&request, path))?;
    let first = route.permits.first();
    let acting = first.map(|permit| permit.asking(request.method(), request.uri()));
    if let Some(acting) = &acting {
        session.acts_on(acting)?;
    }
    let protocol = match request.version() {
        Version::HTTP_2 => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let switches = match headers::upgrade(request.headers()) {
        Upgrade::None => false,
        // RFC 6455 §4.1: with a body nobody could tell where the other protocol begins.
        Upgrade::WebSocket
            if protocol == Protocol::Http1
                && request.method() == Method::GET
                && request.body().is_end_stream() =>
        {
            true
        }
        Upgrade::WebSocket | Upgrade::Other => return Err(Cause::Upgrade),
    };
    let (mut request, expect) = rebuild(request, asked, switches, &traffic)?;
    if route.by_request {
        headers::remove_overrides(request.headers_mut());
    }
    let injections = match asked.tls {
        true => terms::injections(context, &asked.target),
        false => Vec::new(),
    };
    let mut scrub = match injections.is_empty() {
        true => None,
        // COST: boxed, because most requests do without.
        false => {
            Box::pin(credentials::apply(
                &session.context,
                &injections,
                &mut request,
                record,
            ))
            .await?
        }
    };
    let login = match asked.tls {
        true => context.logins.on(&asked.target),
        false => None,
    };
    let capturing = match &login {
        None => false,
        Some(login) => {
            Box::pin(login.swap(&asked.target, &mut request, &mut scrub, record)).await?
        }
    };
    let key = Key {
        target: asked.target.clone(),
        reach: route.reach,
        tls: asked.tls,
        protocol,
        identity: scrub.as_ref().and_then(|scrub| scrub.identity()),
    };
    let (response, permit) = send(context, &route, &key, request, expect.as_ref(), record).await?;
    if let Some(expect) = &expect {
        expect.send_if_modified(|expect| {
            *expect == Expect::Waiting && {
                *expect = Expect::Answered;
                true
            }
        });
    }
    if let OriginBody::Http2(_) = response.body() {
        check(response.headers())?;
    }
    record.answered(response.status().as_u16());
    if response.status() == StatusCode::UNAUTHORIZED {
        let pause = context.limits.credential_pause;
        context.credentials.refused(&injections, pause);
    }
    match (response.status(), switches) {
        (StatusCode::SWITCHING_PROTOCOLS, true) => {
            let permit = acting.map_or(permit.clone(), |acting| acting.through(&permit));
            switch(response, Some(permit))
        }
        (StatusCode::SWITCHING_PROTOCOLS, false) => {
            Err(Cause::BadAnswer("an upgrade nobody asked for".into()))
        }
        _ => {
            if let Some(login) = login.filter(|_| capturing) {
                // COST: the connection goes with the answer; logins are rare.
                let captured = Box::pin(login.capture(response, &traffic)).await?;
                return Ok(Exchanged::Captured(match scrub {
                    Some(scrub) => scrub.whole(captured),
                    None => captured,
                }));
            }
            let lease = Lease {
                pool: context.pool.clone(),
                key,
                permit,
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

/// Bytes of a request's head that say something: method, path and fields.
fn head_size(request: &Request<ClientBody>, path: &str) -> usize {
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
    request.method().as_str().len() + path.len() + fields.sum::<usize>()
}

/// What the strict head check refuses over HTTP/1, as far as HTTP/2 can say it and its library lets it pass.
fn check_stream(request: &Request<ClientBody>) -> Result<(), Cause> {
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
    request: Request<ClientBody>,
    asked: &Asked,
    upgrade: bool,
    traffic: &Arc<Traffic>,
) -> Result<(Request<RequestBody>, Option<Expecting>), Cause> {
    let (mut parts, body) = request.into_parts();
    let expects = parts
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let trailers = Trailers::of(&parts.headers);
    headers::request(&mut parts.headers, asked.authority().clone());
    let fields = &mut parts.headers;
    if parts.version == Version::HTTP_2
        && fields.remove(header::CONTENT_LENGTH).is_some()
        && let Some(length) = body.size_hint().exact()
    {
        // Said twice, or with zeros before it, it would be ambiguous in HTTP/1.
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if upgrade {
        headers::set_upgrade(fields);
    }
    let mut body = RequestBody::new(body, trailers, traffic.clone());
    let mut expect = None;
    if expects && !body.is_empty() {
        fields.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        let (sender, receiver) = watch::channel(Expect::Waiting);
        body = body.held(receiver, EXPECT_PATIENCE);
        expect = Some(Arc::new(sender));
    }
    parts.uri = origin_form(&parts.uri);
    parts.version = Version::HTTP_11;
    // What the proxy and its libraries noted there is not for the origin.
    parts.extensions.clear();
    let rebuilt = Request::from_parts(parts, body);
    Ok((rebuilt, expect))
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    Uri::from(path)
}

/// Refuses an answer over HTTP/2 whose fields could not be said again in HTTP/1 without doubt.
fn check(fields: &HeaderMap) -> Result<(), Cause> {
    let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
    let plain = lengths
        .next()
        .is_none_or(|length| head::decimal(length.as_bytes()).is_some());
    match plain && lengths.next().is_none() {
        true => Ok(()),
        false => Err(Cause::BadAnswer(AnswerError::ContentLength.to_string())),
    }
}

fn switch(response: Response<OriginBody>, permit: Option<Permit>) -> Result<Exchanged, Cause> {
    if headers::upgrade(response.headers()) != Upgrade::WebSocket {
        return Err(Cause::BadAnswer(
            "an upgrade to another protocol than asked for".into(),
        ));
    }
    let (mut parts, body) = response.into_parts();
    let origin = body.into_upgraded();
    let origin = origin.ok_or_else(|| Cause::BadAnswer("an upgrade within HTTP/2".into()))?;
    let mut switched = Response::new(());
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    headers::answer(&mut parts.headers);
    headers::set_upgrade(&mut parts.headers);
    *switched.headers_mut() = parts.headers;
    Ok(Exchanged::Switched {
        response: switched,
        origin,
        permit,
    })
}

/// The answer as the client gets it.
fn stream(
    context: &Context,
    response: Response<OriginBody>,
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
        broken: None,
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
    headers::answer(&mut parts.headers);
    *answer.headers_mut() = parts.headers;
    answer
}
