//! What happens to the local process that the program should hear of.

use std::io;
use std::task::{Context, Poll};

use futures::stream::{self, Stream};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Something that happened here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The terminal has another size.
    Resized {
        /// Height in characters.
        rows: u16,
        /// Width in characters.
        cols: u16,
    },
    /// Somebody sent this process a signal that is meant for the program.
    Signalled(u8),
    /// Somebody ended this process.
    Ended(u8),
}

/// What stands between the user and the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A terminal, where control-C is a byte of input. A signal then ends the command only, and the
    /// program sees its terminal hang up.
    Terminal,
    /// A process, which passes on the signals that it gets.
    Process,
}

const PASSED_ON: [SignalKind; 6] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::terminate(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
];

const ENDING: [SignalKind; 3] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::terminate(),
];

/// The events of this process.
pub(super) fn signals(source: Source) -> io::Result<impl Stream<Item = Event> + Unpin> {
    let kinds: &[SignalKind] = match source {
        Source::Terminal => &ENDING,
        Source::Process => &PASSED_ON,
    };
    let mut streams = Vec::new();
    for &kind in kinds {
        streams.push((kind, signal(kind)?));
    }
    let mut resized = match source {
        Source::Terminal => Some(signal(SignalKind::window_change())?),
        Source::Process => None,
    };
    Ok(stream::poll_fn(move |cx| {
        if let Some(event) = poll_resized(&mut resized, cx) {
            return Poll::Ready(Some(event));
        }
        for (kind, stream) in &mut streams {
            if let Poll::Ready(Some(())) = stream.poll_recv(cx) {
                return Poll::Ready(Some(event(source, *kind)));
            }
        }
        Poll::Pending
    }))
}

fn poll_resized(stream: &mut Option<Signal>, cx: &mut Context<'_>) -> Option<Event> {
    while let Poll::Ready(Some(())) = stream.as_mut()?.poll_recv(cx) {
        if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
            return Some(Event::Resized {
                rows: size.ws_row,
                cols: size.ws_col,
            });
        }
    }
    None
}

fn event(source: Source, kind: SignalKind) -> Event {
    let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
    match source {
        Source::Terminal => Event::Ended(number),
        Source::Process => Event::Signalled(number),
    }
}
