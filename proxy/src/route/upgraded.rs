//! A WebSocket: bytes both ways, after the origin said 101 to a request that was judged.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::tunnel;
use crate::cause::Cause;
use crate::gate::Permit;
use crate::http1::guard::Busy;
use crate::record::Record;
use crate::session::Session;

/// Both ends of an upgrade, still to happen.
pub(crate) struct Sides {
    pub(crate) client: OnUpgrade,
    pub(crate) origin: OnUpgrade,
    pub(crate) permit: Option<Permit>,
}

pub(crate) async fn serve(session: Arc<Session>, sides: Sides, mut record: Record, busy: Busy) {
    let (client, origin) = match tokio::try_join!(sides.client, sides.origin) {
        Ok(both) => both,
        Err(error) => return record.failed(&Cause::Closed(error.to_string())),
    };
    let (mut client, mut origin) = (TokioIo::new(client), TokioIo::new(origin));
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
