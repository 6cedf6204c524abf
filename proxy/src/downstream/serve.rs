//! A client's connection served, one exchange after the other.

use std::pin::pin;
use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::answer::{self, Asked};
use super::body::ClientBody;
use super::conn::{Asking, Conn};
use super::link::Link;
use crate::answer::{Answer, Switched};
use crate::exchange;
use crate::http1::head::{Head, HeadError};
use crate::http1::sending::{Length, Sending};
use crate::route::upgraded;
use crate::seldom::Seldom;
use crate::session::Session;
use crate::stage::Stage;

/// Serves requests until the client leaves, the policy takes the connection back or the proxy stops. `first` is one that
/// was read already.
pub(crate) async fn serve<I>(
    session: Arc<Session>,
    conn: Conn<I>,
    mut first: Option<Box<Asking>>,
) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let link = Link::new(conn);
    let began = Instant::now();
    let (cut, drained) = (pin!(session.cut()), pin!(session.context.drained(began)));
    let (mut cut, mut drained) = (Seldom::new(cut), Seldom::new(drained));
    loop {
        let asking = match first.take() {
            Some(first) => *first,
            None => tokio::select! {
                biased;
                asking = link.head() => asking?,
                () = &mut cut => return None,
                () = &mut drained => {
                    link.close(false).await;
                    return None;
                }
            },
        };
        let end = tokio::select! {
            biased;
            end = exchanged(&session, &link, asking, began) => end?,
            () = &mut cut => return None,
        };
        match end {
            End::Again => link.again(),
            End::Close { unread } => {
                tokio::select! {
                    () = link.close(unread) => {}
                    () = &mut cut => {}
                }
                return None;
            }
            End::Switched(switched) => {
                let client = link.into_client()?;
                let session = session.clone();
                return Some(Stage::last(upgraded::serve(session, client, switched)));
            }
        }
    }
}

/// How an exchange ends, if it ends well.
enum End {
    /// Another may follow.
    Again,
    /// It was the last. Of what the client sends not all may have been read.
    Close { unread: bool },
    /// Another protocol follows.
    Switched(Box<Switched>),
}

/// Answers one request. None if the connection is to be dropped as it is.
async fn exchanged<I>(
    session: &Arc<Session>,
    link: &Link<I>,
    asking: Asking,
    began: Instant,
) -> Option<End>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = match asking.head {
        Ok(head) if head.method == Method::CONNECT => Err(HeadError::LateConnect),
        head => head,
    };
    let refused = head.is_err();
    let (mut asked, response) = match head {
        Ok(head) => {
            let asked = Asked::new(&head);
            (asked, answered(session, link, head).await?)
        }
        Err(error) => {
            let cause = session.malformed(error);
            let record = session.record("", "");
            (
                Asked::NOTHING,
                exchange::refuse(&session.context, record, &cause),
            )
        }
    };
    if let Answer::Own(_) = response.body()
        && !link.end_body().await
    {
        // The rest of the request is not waited for.
        asked.persists = false;
    }
    asked.persists &= !session.context.is_drained(began);
    let (persists, switched) = send(link, asked, response).await?;
    if let Some(switched) = switched {
        return Some(End::Switched(switched));
    }
    let unread = refused || !link.end_body().await;
    Some(match persists && !unread {
        true => End::Again,
        false => End::Close { unread },
    })
}

/// The answer to a good head. None if the client leaves before it comes.
async fn answered<I>(session: &Arc<Session>, link: &Link<I>, head: Head) -> Option<Response<Answer>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let body = link.begin(head.body, head.expects());
    if let Some((context, cause)) = session.stranger(&head.fields) {
        let record = context.recorder.begin("", "");
        return Some(exchange::refuse(context, record, &cause));
    }
    let mut request = Request::new(body.map_or(ClientBody::None, ClientBody::Http1));
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.fields;
    // COST: boxed for each request, so that there is no room for it while a connection is idle.
    let answer = Box::pin(exchange::answer(session.clone(), request, session.begins()));
    link.during(answer).await
}

/// Sends an answer. Returns whether another may follow, and what the connection switches to.
async fn send<I>(
    link: &Link<I>,
    asked: Asked,
    response: Response<Answer>,
) -> Option<(bool, Option<Box<Switched>>)>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (parts, body) = response.into_parts();
    let hint = body.size_hint();
    let length = answer::length(asked, parts.status, &hint);
    let persists = answer::persists(asked, &parts.headers, length);
    let head = answer::head(&parts, asked, length, &hint, persists);
    drop(parts);
    let (body, switched) = match body {
        Answer::Switched(switched) => (Answer::Own(None), Some(switched)),
        // An answer to `HEAD` is the head of the page.
        Answer::Own(_) if length == Length::None => (Answer::Own(None), None),
        body => (body, None),
    };
    link.send(Sending::new(head, length, body).trailers(asked.trailers))
        .await?;
    Some((persists, switched))
}
