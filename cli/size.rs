//! Amounts of memory and disk, as they are written on the command line.

use std::str::FromStr;

/// Whole MiB. A bare number is MiB; `k`, `m`, `g` and `t` may follow, with `b` or `ib` after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(u32);

impl Size {
    pub(crate) const fn mib(self) -> u32 {
        self.0
    }

    /// Rounded up.
    pub(crate) const fn gib(self) -> u32 {
        self.0.div_ceil(1024)
    }

    fn between(self, least: Self, most: Self) -> Result<Self, SizeError> {
        if (least..=most).contains(&self) {
            Ok(self)
        } else {
            Err(SizeError::Range(least.0, most.0))
        }
    }
}

/// A text that is no amount, or not one that a sandbox can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SizeError {
    #[error("write an amount like `4g` or `512m`")]
    Text,
    #[error("use {0} to {1} MiB")]
    Range(u32, u32),
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let lower = text.trim().to_ascii_lowercase();
        let unit = lower.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = lower.strip_suffix(unit).unwrap_or_default();
        let number: u64 = digits.parse().map_err(|_| SizeError::Text)?;
        let unit = unit.trim_end_matches('b').trim_end_matches('i');
        let kib = match unit {
            "k" => Some(number),
            "" | "m" => number.checked_mul(1 << 10),
            "g" => number.checked_mul(1 << 20),
            "t" => number.checked_mul(1 << 30),
            _ => return Err(SizeError::Text),
        };
        let mib = kib.and_then(|kib| u32::try_from(kib >> 10).ok());
        mib.map(Self).ok_or(SizeError::Range(0, u32::MAX))
    }
}

/// Memory of a microVM: what its kernel and an agent need at least, to a tebibyte.
pub(crate) fn memory(text: &str) -> Result<Size, SizeError> {
    text.parse::<Size>()?.between(Size(256), Size(1 << 20))
}

/// A sandbox's own disk; it is sparse, so the bound is what ext4 is made for in a moment.
pub(crate) fn disk(text: &str) -> Result<Size, SizeError> {
    text.parse::<Size>()?.between(Size(1 << 10), Size(8 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, mib) in [
            ("4096", Some(4096)),
            ("4g", Some(4096)),
            ("4G", Some(4096)),
            ("4GiB", Some(4096)),
            ("4gb", Some(4096)),
            ("512m", Some(512)),
            ("1048576k", Some(1024)),
            ("1t", Some(1 << 20)),
            ("", None),
            ("g", None),
            ("4x", None),
            ("-1", None),
            ("1.5g", None),
            ("99999999999t", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(text.parse::<Size>().ok().map(Size::mib), mib, "{text:?}");
        }
        assert!(memory("128m").is_err() && memory("2t").is_err() && memory("2g").is_ok());
        assert!(disk("1m").is_err() && disk("20g").is_ok());
        assert_eq!(disk("1500m").map(Size::gib), Ok(2));
    }
}
