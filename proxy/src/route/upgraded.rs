//! A WebSocket: bytes both ways, after the origin said 101 to a request that was judged.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::tunnel;
use crate::cause::Cause;
use crate::gate::Permit;
use crate::http1::guard::Busy;
use crate::io::prefixed::Prefixed;
use crate::record::Record;
use crate::session::Session;
use crate::upstream::stream::Stream;

/// Both ends of an upgrade that the origin has made and the client is still to make.
pub(crate) struct Sides {
    pub(crate) client: OnUpgrade,
    pub(crate) origin: Prefixed<Stream>,
    pub(crate) permit: Option<Permit>,
}

pub(crate) async fn serve(session: Arc<Session>, sides: Sides, mut record: Record, busy: Busy) {
    let mut client = match sides.client.await {
        Ok(client) => TokioIo::new(client),
        Err(error) => return record.failed(&Cause::Closed(error.to_string())),
    };
    let mut origin = sides.origin;
    tunnel::carry(
        &session.context,
        sides.permit.as_ref(),
        false,
        &mut client,
        &mut origin,
        record,
    )
    .await;
    drop(busy);
}
