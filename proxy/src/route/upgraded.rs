//! A WebSocket: bytes both ways, after the origin said 101 to a request that was judged.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::tunnel;
use crate::answer::Switched;
use crate::io::prefixed::Prefixed;
use crate::session::Session;

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
