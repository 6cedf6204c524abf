//! A WebSocket: bytes both ways, after the origin said 101 to a request that was judged.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::tunnel;
use crate::gate::Permit;
use crate::io::prefixed::Prefixed;
use crate::load::Busy;
use crate::record::Record;
use crate::session::Session;
use crate::upstream::stream::Stream;

/// An upgrade that the origin has made and the client is still to hear of.
pub(crate) struct Switched {
    pub(crate) origin: Prefixed<Stream>,
    pub(crate) permit: Option<Permit>,
    pub(crate) record: Record,
    pub(crate) _busy: Busy,
}

pub(crate) async fn serve<I>(
    session: Arc<Session>,
    mut client: Prefixed<I>,
    switched: Box<Switched>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Switched {
        mut origin,
        permit,
        record,
        _busy,
    } = *switched;
    tunnel::carry(
        &session.context,
        permit.as_ref(),
        false,
        &mut client,
        &mut origin,
        record,
    )
    .await;
}
