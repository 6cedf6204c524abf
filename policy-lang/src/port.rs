//! TCP port numbers.

use crate::quote::Quoted;
use std::{fmt, num::NonZeroU16};

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port of `http:` URLs.
    pub const HTTP: Self = Self::well_known(80);
    /// The port of `https:` URLs.
    pub const HTTPS: Self = Self::well_known(443);

    const fn well_known(number: u16) -> Self {
        match NonZeroU16::new(number) {
            Some(number) => Self(number),
            None => Self(NonZeroU16::MIN),
        }
    }

    /// The port with this number; `None` for 0.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// Reads the one canonical spelling: decimal digits, no sign, no leading zero.
    ///
    /// Stricter than `u16::from_str`, which takes `+80` and `0080`: two spellings of one port would be two
    /// chances for two readers to disagree.
    pub fn parse(text: &str) -> Result<Self, PortError> {
        if text.is_empty() {
            return Err(PortError::Empty);
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PortError::NotDigits { text: text.into() });
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(PortError::LeadingZero { text: text.into() });
        }
        text.parse()
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| PortError::OutOfRange { text: text.into() })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing after the colon.
    #[error("port is empty")]
    Empty,
    /// Something other than decimal digits.
    #[error("port {} is not a decimal number", Quoted(.text))]
    NotDigits {
        /// The text found.
        text: Box<str>,
    },
    /// `0443`.
    #[error("port {} has a leading zero", Quoted(.text))]
    LeadingZero {
        /// The text found.
        text: Box<str>,
    },
    /// 0, or more than 65535.
    #[error("port {} is out of range", Quoted(.text))]
    OutOfRange {
        /// The text found.
        text: Box<str>,
    },
}

impl PortError {
    /// What to write instead.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Empty => "write a port from 1 to 65535 after the colon, or leave the colon out",
            Self::NotDigits { .. } | Self::LeadingZero { .. } | Self::OutOfRange { .. } => {
                "use 1 to 65535 in plain decimal digits"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_a_port() {
        let rows = [
            ("1", Some(1)),
            ("80", Some(80)),
            ("65535", Some(65535)),
            ("0", None),
            ("00", None),
            ("007", None),
            ("65536", None),
            ("99999999999999999999", None),
            ("+80", None),
            ("-1", None),
            (" 80", None),
            ("80 ", None),
            ("0x50", None),
            ("８０", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Port::parse(text).ok().map(Port::get), expected, "{text:?}");
        }
    }
}
