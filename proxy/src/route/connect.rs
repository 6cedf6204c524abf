//! `CONNECT`: judged before anything else happens.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{mitm, tunnel};
use crate::audit::{self, Carriage};
use crate::cause::Cause;
use crate::context::Context;
use crate::gate::{Gate, Refusal, Route, Ruling};
use crate::record::Record;
use crate::request;
use crate::stage::Stage;
use crate::terms;

/// Judges the `CONNECT` in `head`, which has passed the strict check.
pub(crate) async fn serve<I>(
    context: Arc<Context>,
    head: Bytes,
    mut client: I,
    early: Bytes,
) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (authority, host, browser) = parse(&head);
    let mut record = context
        .recorder
        .begin("CONNECT", request::without_user_info(authority));
    let target = request::connect(authority, host);
    let admitted = match &target {
        Ok(target) => admit(&context, target, &mut record).await,
        Err(_) => Err(target
            .as_ref()
            .err()
            .map_or(Cause::NotProxied, |cause| Cause::Target(cause.sentence()))),
    };
    match admitted {
        Ok(route) if route.bypass => Some(Stage::step(tunnel::serve(
            context, route, client, early, record,
        ))),
        Ok(route) => Some(Stage::step(mitm::serve(
            context, route, client, early, record,
        ))),
        Err(cause) => {
            record.failed(&cause);
            // A browser shows nobody the answer to its `CONNECT`, so it is told inside.
            if let (true, Ok(target), Some(ruling)) = (browser, &target, refusal(&cause)) {
                let route = Gate::nowhere(target, ruling);
                return Some(Stage::step(mitm::serve(
                    context, route, client, early, record,
                )));
            }
            record.finish();
            let denial = context.denial(&cause, target.as_ref().ok());
            // The client may have gone; the line is written.
            let _ = client.write_all(&denial.to_bytes()).await;
            let _ = client.shutdown().await;
            None
        }
    }
}

/// The ruling by which the policy itself refused it.
fn refusal(cause: &Cause) -> Option<Arc<Ruling>> {
    match cause {
        Cause::Refused(
            Refusal::Host(ruling) | Refusal::Names { ruling, .. } | Refusal::Address { ruling, .. },
        ) => Some(ruling.clone()),
        _ => None,
    }
}

async fn admit(
    context: &Context,
    target: &policy_lang::Target,
    record: &mut Record,
) -> Result<Arc<Route>, Cause> {
    record.target(target);
    context.recorder.log().check().map_err(|_| Cause::LogFull)?;
    record.stage(audit::Stage::Host);
    let route = context.gate.admit(target).await.map_err(Cause::Refused)?;
    if route.bypass {
        // Inside interception it is the requests that count.
        terms::charge(context, target, &record.traffic())?;
    }
    record.admitted(
        &route,
        if route.bypass {
            Carriage::Bypass
        } else {
            Carriage::Intercept
        },
    );
    Ok(route)
}

/// The authority of a `CONNECT`, its `Host`, and whether a browser asks, from a head that was checked: one of each at
/// most, and ASCII.
fn parse(head: &[u8]) -> (&str, Option<&str>, bool) {
    let head = str::from_utf8(head).unwrap_or_default();
    let mut lines = head.split("\r\n");
    let authority = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or_default();
    let fields = lines.filter_map(|line| line.split_once(':'));
    let field = |wanted: &str| {
        let mut fields = fields.clone();
        let found = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim_matches([' ', '\t']))
    };
    // Every browser's begins so, and no tool's (RFC 9110 §10.1.5 leaves the field to history).
    let browser = field("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/"));
    (authority, field("host"), browser)
}
