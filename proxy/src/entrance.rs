//! A client's connection, from its acceptance to its first head.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use crate::accept::{Accept, is_transient};
use crate::appliance::{Member, Members};
use crate::cause::Cause;
use crate::context::Context;
use crate::downstream::{self, Conn, First};
use crate::panics::Panics;
use crate::request::Scope;
use crate::route;
use crate::session::Session;
use crate::stage::Stage;

/// Pause after an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Gives each connection of `accept` to `take`, until the proxy of `context` ends or accepting fails for good.
pub(crate) async fn accepting<A: Accept>(
    context: Arc<Context>,
    mut accept: A,
    take: impl Fn(A::Io) + Send + Sync,
) -> io::Result<()> {
    // A connection that is accepted as the end begins counts as open before anybody asks whether one is.
    let _open = context.tasks.token();
    loop {
        let accepted = tokio::select! {
            // Whoever has connected by the end is let in first.
            biased;
            accepted = accept.accept() => accepted,
            () = context.draining.cancelled() => return Ok(()),
        };
        match accepted {
            Ok(client) => take(client),
            Err(error) if is_transient(&error) => sleep(ACCEPT_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

/// Serves one connection in a task of its own.
pub(crate) fn take<I>(context: &Arc<Context>, client: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conn = Conn::new(client, context.limits.clone());
    let serving = context.clone();
    spawn(context, conn, |conn| Stage::step(serve(serving, conn)));
}

/// The same for a client that has to say who it is first: it is then served under its own policy.
pub(crate) fn meet<I>(members: &Arc<Members>, client: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conn = Conn::new(client, members.nobody.limits.clone());
    let serving = members.clone();
    spawn(&members.nobody, conn, |conn| {
        Stage::step(identify(serving, conn))
    });
}

/// The same for a client that nothing is served to: it is told so, whoever it is.
pub(crate) fn refuse<I>(members: &Arc<Members>, client: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conn = Conn::new(client, members.nobody.limits.clone());
    let serving = members.clone();
    spawn(&members.nobody, conn, |conn| {
        Stage::step(tell(serving, conn))
    });
}

/// Runs what `first` makes of a connection, if there is room for it.
fn spawn<I>(
    context: &Arc<Context>,
    conn: Conn<I>,
    first: impl FnOnce(Conn<I>) -> Stage + Send + 'static,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let open = Open::new(context);
    context.crowd.join(|place| {
        let serving = context.tasks.spawn(async move {
            let (_place, Open { context, count, .. }) = (place, &open);
            let refusal = match *count <= context.limits.connections as u64 {
                true => context.crowd.is_full().then_some(Cause::NoRoom),
                false => Some(Cause::Busy),
            };
            let stage = match refusal {
                None => first(conn),
                Some(cause) => Stage::last(turn_away(context.clone(), conn, cause)),
            };
            stage.run().await;
        });
        serving.abort_handle()
    });
}

/// Counts a connection while it is open, and a panic of its task.
struct Open {
    context: Arc<Context>,
    count: u64,
    _panics: Panics,
}

impl Open {
    fn new(context: &Arc<Context>) -> Self {
        Self {
            context: context.clone(),
            count: context.recorder.metrics().connected(),
            _panics: Panics(context.recorder.clone()),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.context.recorder.metrics().disconnected();
    }
}

/// One client connection, as far as its first head, which says what comes next.
async fn serve<I>(context: Arc<Context>, mut conn: Conn<I>) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let first = first(&context, &mut conn).await?;
    Some(begin(context, first, conn, None))
}

async fn first<I: AsyncRead + AsyncWrite + Unpin>(
    context: &Context,
    conn: &mut Conn<I>,
) -> Option<First> {
    tokio::select! {
        first = conn.first() => Some(first),
        () = context.drained(Instant::now()) => None,
    }
}

fn begin<I>(context: Arc<Context>, first: First, conn: Conn<I>, member: Option<Member>) -> Stage
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match first {
        First::Connect(head) => {
            let (client, early) = conn.into_tunnel();
            Stage::step(route::connect::serve(context, head, client, early))
        }
        First::Request(asking) => {
            let session = Session::new(context, Scope::Proxy, None).of(member);
            Stage::step(downstream::serve(Arc::new(session), conn, Some(asking)))
        }
        First::Closed => Stage::last(std::future::ready(())),
    }
}

/// As far as the client's word who it is. What follows runs in a task of that client's own.
async fn identify<I>(members: Arc<Members>, mut conn: Conn<I>) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let nobody = members.nobody.clone();
    let first = first(&nobody, &mut conn).await?;
    let head = match &first {
        First::Connect(head) => head,
        First::Request(asking) => &asking.raw,
        First::Closed => return None,
    };
    match members.known_by_head(head) {
        Ok(context) => {
            let member = Member::new(members, Some(context.clone()));
            let serving = context.clone();
            spawn(&context, conn, |conn| {
                begin(serving, first, conn, Some(member))
            });
            None
        }
        Err(cause) => {
            let stranger = Member::new(members, None);
            Some(unserved(nobody, first, conn, stranger, cause))
        }
    }
}

/// As far as the client's first request, which is answered with a refusal.
async fn tell<I>(members: Arc<Members>, mut conn: Conn<I>) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let nobody = members.nobody.clone();
    let first = first(&nobody, &mut conn).await?;
    let member = Member::unserved(members);
    Some(unserved(nobody, first, conn, member, Cause::NoPolicy))
}

/// A refusal in its turn, as an answer to a request: a client that is still sending a body reads it.
fn unserved<I>(
    nobody: Arc<Context>,
    first: First,
    conn: Conn<I>,
    member: Member,
    cause: Cause,
) -> Stage
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match first {
        First::Connect(_) => Stage::last(turn_away(nobody, conn, cause)),
        First::Request(_) | First::Closed => begin(nobody, first, conn, Some(member)),
    }
}

/// An answer without a look at the question.
async fn turn_away<I: AsyncRead + AsyncWrite + Unpin>(
    context: Arc<Context>,
    conn: Conn<I>,
    cause: Cause,
) {
    let (mut client, _) = conn.into_tunnel();
    context.recorder.begin("", "").failed(&cause);
    let denial = context.denial(&cause, None).to_bytes();
    let _ = timeout(Duration::from_secs(1), client.write_all(&denial)).await;
    let _ = client.shutdown().await;
}
