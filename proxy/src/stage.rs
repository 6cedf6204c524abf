//! The life of a connection, cut into stages.
//!
//! An `async fn` is as big as all it may ever hold at once, for as long as it lives. A connection therefore runs in
//! stages, each in a box of its own that is gone before the next one is polled: a tunnel that carries bytes for an hour
//! does not keep room for the TLS handshake or the name lookup it began with.

use std::pin::Pin;

/// One stage.
pub(crate) enum Stage {
    /// It ends with the next one, if there is one.
    Step(Pin<Box<dyn Future<Output = Option<Stage>> + Send>>),
    /// The connection ends with it.
    Last(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Stage {
    pub(crate) fn step(stage: impl Future<Output = Option<Self>> + Send + 'static) -> Self {
        Self::Step(Box::pin(stage))
    }

    pub(crate) fn last(stage: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::Last(Box::pin(stage))
    }

    /// Runs it and all that follow.
    pub(crate) async fn run(mut self) {
        loop {
            match &mut self {
                Self::Step(stage) => match stage.await {
                    Some(next) => self = next,
                    None => return,
                },
                Self::Last(stage) => return stage.await,
            }
        }
    }
}
