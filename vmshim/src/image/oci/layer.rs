//! One layer: a tar stream, as it is or compressed, known by the digest of the uncompressed stream.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::digest::{Digest, Verified};

/// Uncompressed bytes after which a layer is given up: it would exceed any image's budget.
pub(super) const LARGEST: u64 = 80 << 30;

/// The largest window that a zstd stream may ask for, in bytes: what `zstd --ultra -22` uses.
const LARGEST_WINDOW: u64 = 128 << 20;

/// A layer that can be read several times.
pub(super) struct Layer {
    /// The digest of the uncompressed stream, from the image's config.
    pub(super) diff_id: Digest,
    /// Opens the stream as it is stored.
    pub(super) open: Box<dyn Fn() -> io::Result<Box<dyn Read>>>,
}

impl Layer {
    /// Hands the uncompressed stream to `take` and then checks that it was the promised one.
    pub(super) fn read<T, E: From<io::Error>>(
        &self,
        take: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let stored = BufReader::with_capacity(128 << 10, (self.open)()?);
        let mut plain = Verified::new(uncompressed(stored)?.take(LARGEST));
        let taken = take(&mut plain)?;
        plain.finish(&self.diff_id)?;
        Ok(taken)
    }
}

/// Tells the compression from the first bytes: media types are not reliable, and archives have none.
pub(super) fn uncompressed<'a>(mut stored: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let head = stored.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(stored)));
    }
    // Skippable frames (0x184d2a5?) come first in what seekable packers write.
    let skippable = matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if skippable || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(Zstd::new(stored)));
    }
    Ok(Box::new(stored))
}

/// All frames of a zstd stream, one after the other; the library decodes one.
struct Zstd<R: Read> {
    state: ZstdState<R>,
}

enum ZstdState<R: Read> {
    Between(R),
    Within(Box<StreamingDecoder<R, FrameDecoder>>),
    Over,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Self {
            state: ZstdState::Between(source),
        }
    }

    fn next_frame(mut source: R) -> io::Result<ZstdState<R>> {
        loop {
            let head = source.fill_buf()?;
            if head.is_empty() {
                return Ok(ZstdState::Over);
            }
            if !matches!(head, [0x50..=0x5f, ..]) {
                let frame = StreamingDecoder::new_with_max_window_size(source, LARGEST_WINDOW);
                let frame = frame.map_err(io::Error::other)?;
                return Ok(ZstdState::Within(Box::new(frame)));
            }
            skip_frame(&mut source)?;
        }
    }
}

/// A skippable frame is its magic number, its length and that many bytes (RFC 8878, 3.1.2).
fn skip_frame(source: &mut impl BufRead) -> io::Result<()> {
    let mut magic = [0; 4];
    let mut length = [0; 4];
    source.read_exact(&mut magic)?;
    source.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let skipped = io::copy(&mut source.take(length), &mut io::sink())?;
    if magic.get(1..) != Some(&[0x2a, 0x4d, 0x18]) || skipped != length {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(())
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, ZstdState::Over) {
                ZstdState::Over => return Ok(0),
                ZstdState::Between(source) => self.state = Self::next_frame(source)?,
                ZstdState::Within(mut frame) => match frame.read(buffer)? {
                    0 if !buffer.is_empty() => {
                        self.state = ZstdState::Between(frame.into_inner());
                    }
                    count => {
                        self.state = ZstdState::Within(frame);
                        return Ok(count);
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn layer(stored: Vec<u8>, plain: &[u8]) -> Layer {
        Layer {
            diff_id: Digest::of(plain),
            open: Box::new(move || Ok(Box::new(io::Cursor::new(stored.clone())))),
        }
    }

    fn read(layer: &Layer) -> io::Result<Vec<u8>> {
        layer.read(|reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        })
    }

    #[test]
    fn every_compression_is_read() {
        let (one, two) = (b"one ".repeat(20_000), b"two ".repeat(20_000));
        let plain = [one.clone(), two.clone()].concat();
        let skippable = b"\x5a\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let rows = [
            ("plain", plain.clone()),
            ("gzip", gzip(&plain)),
            ("gzip members", [gzip(&one), gzip(&two)].concat()),
            ("zstd", zstd(&plain)),
            (
                "zstd frames",
                [skippable.clone(), zstd(&one), zstd(&two), skippable].concat(),
            ),
        ];
        for (name, stored) in rows {
            assert!(read(&layer(stored, &plain)).unwrap() == plain, "{name}");
        }
    }

    #[test]
    fn damage_is_found() {
        let plain = b"some content ".repeat(1_000);
        let mut cut = gzip(&plain);
        cut.truncate(cut.len() / 2);
        let mut cut_zstd = zstd(&plain);
        cut_zstd.truncate(cut_zstd.len() / 2);
        let rows = [
            ("cut gzip", cut),
            ("cut zstd", cut_zstd),
            (
                "cut skippable frame",
                b"\x50\x2a\x4d\x18\xff\0\0\0abc".to_vec(),
            ),
            ("other content", gzip(b"something else")),
            ("more content", [plain.clone(), b"!".to_vec()].concat()),
        ];
        for (name, stored) in rows {
            assert!(read(&layer(stored, &plain)).is_err(), "{name}");
        }
    }

    #[test]
    fn what_the_taker_leaves_is_still_checked() {
        let plain = b"a tar archive, then padding".to_vec();
        let good = layer(plain.clone(), &plain);
        let take_little = |reader: &mut dyn Read| reader.read_exact(&mut [0; 4]);
        good.read(take_little).unwrap();
        let other = layer(b"a tar archive, then something".to_vec(), &plain);
        let error = other.read(take_little).unwrap_err();
        assert!(
            error.to_string().starts_with("content with digest"),
            "{error}"
        );
    }
}
