//! Takes the ELF `vmlinux` out of a bzImage, so that the guest need not unpack it: half a second under emulation.
//!
//! Header fields: Documentation/arch/x86/boot.rst of the Linux source, boot protocol 2.08 and later.

use std::io::Read;

/// No kernel is larger; a damaged length field must not take the machine's memory.
const LARGEST: u64 = 256 << 20;

/// The uncompressed kernel, or `None` when `image` is not a bzImage or its compression is not one of ours.
pub(super) fn vmlinux(image: &[u8]) -> Option<Vec<u8>> {
    let packed = payload(image)?;
    let elf = match packed {
        [0x02, 0x21, 0x4c, 0x18, blocks @ ..] => lz4_legacy(blocks)?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            read_all(ruzstd::decoding::StreamingDecoder::new(packed).ok()?)?
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => read_all(lzma_rust2::XzReader::new(packed, false))?,
        _ => return None,
    };
    elf.starts_with(b"\x7fELF").then_some(elf)
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup_sectors = usize::from(*image.get(0x1f1)?);
    let offset = usize::try_from(u32_at(image, 0x248)?).ok()?;
    let length = usize::try_from(u32_at(image, 0x24c)?).ok()?;
    let start = (setup_sectors + 1).checked_mul(512)?.checked_add(offset)?;
    image.get(start..start.checked_add(length)?)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

/// The legacy LZ4 frame that `lz4 -l` writes: blocks of at most 8 MiB, each after its packed length.
///
/// The kernel's build appends the unpacked size as four more bytes, which read as a block that is not there.
fn lz4_legacy(mut rest: &[u8]) -> Option<Vec<u8>> {
    const BLOCK: usize = 8 << 20;
    let mut out = Vec::new();
    while rest.len() > 4 {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let block = rest.get(4..4 + length)?;
        out.extend(lz4_flex::block::decompress(block, BLOCK).ok()?);
        if out.len() as u64 > LARGEST {
            return None;
        }
        rest = rest.get(4 + length..)?;
    }
    Some(out)
}

fn read_all(from: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    from.take(LARGEST).read_to_end(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage of one setup sector whose payload is `payload`.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend([0; 16]);
        image.extend(payload);
        image
    }

    fn lz4(data: &[u8]) -> Vec<u8> {
        let block = lz4_flex::block::compress(data);
        let mut out = vec![0x02, 0x21, 0x4c, 0x18];
        out.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        out.extend(block);
        out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        out
    }

    #[test]
    fn rows() {
        let elf = b"\x7fELF and the rest of a kernel".repeat(50);
        let zstd = ruzstd::encoding::compress_to_vec(
            elf.as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        let rows: [(&str, Vec<u8>, bool); 6] = [
            ("lz4", bzimage(&lz4(&elf)), true),
            ("zstd", bzimage(&zstd), true),
            ("not an ELF", bzimage(&lz4(b"something else")), false),
            ("unknown compression", bzimage(b"BZh9 and so on"), false),
            ("already an ELF", elf.clone(), false),
            ("cut short", bzimage(&lz4(&elf))[..1060].to_vec(), false),
        ];
        for (name, image, unpacks) in rows {
            assert_eq!(vmlinux(&image), unpacks.then(|| elf.clone()), "{name}");
        }
    }
}
