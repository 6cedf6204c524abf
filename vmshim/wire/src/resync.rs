//! Agreeing where a conversation begins.
//!
//! A virtio-serial port is a pipe that outlives the processes at its ends. When a proxy dies and its
//! successor connects, half a frame of the old conversation may still be on its way, in both
//! directions. So a conversation starts with three records, each `MAGIC ‖ kind ‖ nonce`:
//!
//! ```text
//! host                          guest
//!   Syn(n) ──────────────────►           repeated until answered: the guest may still believe in
//!          ◄────────────────── Ack(n)    the old conversation and swallow the first one
//!   Go(n)  ──────────────────►           the host's last byte before the new conversation
//!          ◄────────────────── Go(n)     the guest's last byte before it
//! ```
//!
//! Whatever else arrives before the awaited record is stale and dropped. Since each side's `Go` is the
//! last record it sends, the byte after it is the first of the new conversation, however often `Syn`
//! and `Ack` crossed.
//!
//! This file is bytes in, records out; [`io`] drives it over a real port.

pub mod io;

/// Starts every record. Not a valid yamux header (whose first byte is 0).
const MAGIC: [u8; 16] = *b"\xffsandbox-resync\n";

const NONCE_LEN: usize = 16;

/// Length of an encoded record: magic, one byte of kind, nonce.
pub const RECORD_LEN: usize = MAGIC.len() + 1 + NONCE_LEN;

/// Names one conversation. Chosen by the host, never reused.
pub type Nonce = [u8; NONCE_LEN];

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Host: a new conversation, please.
    Syn,
    /// Guest: I have dropped the old one.
    Ack,
    /// Either: my next byte belongs to the new conversation.
    Go,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Syn => b'S',
            Self::Ack => b'A',
            Self::Go => b'G',
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'S' => Some(Self::Syn),
            b'A' => Some(Self::Ack),
            b'G' => Some(Self::Go),
            _ => None,
        }
    }
}

/// One step of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Which step.
    pub kind: Kind,
    /// Of which conversation.
    pub nonce: Nonce,
}

impl Record {
    /// The bytes on the wire.
    #[must_use]
    pub fn encode(self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        let all = MAGIC
            .into_iter()
            .chain([self.kind.byte()])
            .chain(self.nonce);
        for (slot, byte) in bytes.iter_mut().zip(all) {
            *slot = byte;
        }
        bytes
    }

    fn decode(bytes: &[u8; RECORD_LEN]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (&kind, nonce) = rest.split_first()?;
        Some(Self {
            kind: Kind::from_byte(kind)?,
            nonce: nonce.try_into().ok()?,
        })
    }
}

/// Finds records among garbage.
///
/// It looks at the last [`RECORD_LEN`] bytes afresh for each byte, so a record that was cut short by
/// its sender's death cannot hide the one that follows it.
/// COST: one 33-byte move per byte, on a path that sees at most what a port can buffer.
#[derive(Debug, Clone)]
pub struct Scanner {
    window: [u8; RECORD_LEN],
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            window: [0; RECORD_LEN],
        }
    }
}

impl Scanner {
    /// Takes the next byte; returns the record that it completes, if it does.
    pub fn push(&mut self, byte: u8) -> Option<Record> {
        self.window.rotate_left(1);
        if let Some(last) = self.window.last_mut() {
            *last = byte;
        }
        Record::decode(&self.window)
    }
}

/// What a side does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this and go on reading.
    Send(Record),
    /// Send this, if anything: the conversation has begun.
    Begin(Option<Record>),
}

/// The host's half of the handshake.
#[derive(Debug)]
pub struct Host {
    nonce: Nonce,
    scanner: Scanner,
    acknowledged: bool,
}

impl Host {
    /// A new conversation under a nonce that was never used on this port.
    #[must_use]
    pub fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            scanner: Scanner::default(),
            acknowledged: false,
        }
    }

    /// What to send now and again at intervals, until the guest has answered; then nothing.
    #[must_use]
    pub fn opening(&self) -> Option<Record> {
        (!self.acknowledged).then_some(self.record(Kind::Syn))
    }

    /// Takes one byte from the guest.
    pub fn push(&mut self, byte: u8) -> Option<Step> {
        let record = self.scanner.push(byte)?;
        if record.nonce != self.nonce {
            return None;
        }
        match record.kind {
            Kind::Ack if !self.acknowledged => {
                self.acknowledged = true;
                Some(Step::Send(self.record(Kind::Go)))
            }
            Kind::Go if self.acknowledged => Some(Step::Begin(None)),
            Kind::Syn | Kind::Ack | Kind::Go => None,
        }
    }

    fn record(&self, kind: Kind) -> Record {
        Record {
            kind,
            nonce: self.nonce,
        }
    }
}

/// The guest's half of the handshake.
#[derive(Debug, Default)]
pub struct Guest {
    scanner: Scanner,
    latest: Option<Nonce>,
}

impl Guest {
    /// Takes one byte from the host.
    pub fn push(&mut self, byte: u8) -> Option<Step> {
        let Record { kind, nonce } = self.scanner.push(byte)?;
        match kind {
            Kind::Syn => {
                self.latest = Some(nonce);
                Some(Step::Send(Record {
                    kind: Kind::Ack,
                    nonce,
                }))
            }
            Kind::Go if self.latest == Some(nonce) => {
                Some(Step::Begin(Some(Record { kind, nonce })))
            }
            Kind::Ack | Kind::Go => None,
        }
    }
}

#[cfg(test)]
mod tests;
