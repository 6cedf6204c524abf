//! Length-prefixed JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest message, in bytes of JSON.
pub const MAX_MESSAGE: u32 = 1 << 20;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The stream failed or ended within a message.
    #[error("the control stream failed")]
    Io(#[from] io::Error),
    /// The peer announced, or the caller gave, more than [`MAX_MESSAGE`].
    #[error("a control message of {0} bytes is too long")]
    TooLong(usize),
    /// The bytes are not the message that is due.
    #[error("a control message is malformed")]
    Malformed(#[from] serde_json::Error),
}

/// Reads one message.
pub async fn read<T, R>(stream: &mut R) -> Result<T, MessageError>
where
    T: DeserializeOwned,
    R: AsyncRead + Unpin,
{
    let len = stream.read_u32().await?;
    if len > MAX_MESSAGE {
        return Err(MessageError::TooLong(len as usize));
    }
    // Grows with what arrives, so a peer pays for the memory it makes us use.
    let mut json = Vec::new();
    stream.take(u64::from(len)).read_to_end(&mut json).await?;
    if json.len() < len as usize {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(serde_json::from_slice(&json)?)
}

/// Writes one message and flushes.
pub async fn write<T, W>(stream: &mut W, message: &T) -> Result<(), MessageError>
where
    T: Serialize,
    W: AsyncWrite + Unpin,
{
    let json = serde_json::to_vec(message)?;
    let len = u32::try_from(json.len())
        .ok()
        .filter(|&len| len <= MAX_MESSAGE)
        .ok_or(MessageError::TooLong(json.len()))?;
    let mut bytes = len.to_be_bytes().to_vec();
    bytes.extend(json);
    stream.write_all(&bytes).await?;
    Ok(stream.flush().await?)
}
