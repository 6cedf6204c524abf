//! Policies of other tools, turned into ours, with a list of what could not be.
//!
//! Other tools let the first rule win, or every denial; here the most specific rule wins. An importer therefore
//! knows which rule came first and leaves out, or writes out, what the order decided: the result never allows what
//! the original denied, except where a note says so.

mod draft;
mod lists;
mod runtime;
mod sbx;
mod smokescreen;
mod squid;
mod yaml;

use crate::language::File;
use serde::Serialize;
use std::fmt;

/// Longer files are no policies that people wrote; a blocklist belongs into a `list`.
const MOST_BYTES: usize = 64 << 20;

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Commands for Docker's `sbx policy`, or the table that `sbx policy ls` prints.
    Sbx,
    /// Settings of Claude Code and of its sandbox-runtime.
    SandboxRuntime,
    /// A smokescreen ACL.
    Smokescreen,
    /// A squid.conf.
    Squid,
    /// A hosts file.
    Hosts,
    /// An Adblock filter list.
    Adblock,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [
        Self::Sbx,
        Self::SandboxRuntime,
        Self::Smokescreen,
        Self::Squid,
        Self::Hosts,
        Self::Adblock,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sbx => "sbx",
            Self::SandboxRuntime => "sandbox-runtime",
            Self::Smokescreen => "smokescreen",
            Self::Squid => "squid",
            Self::Hosts => "hosts",
            Self::Adblock => "adblock",
        }
    }

    /// The format that a text looks like, if it is clear.
    pub fn detect(text: &str) -> Option<Self> {
        let lines = || {
            text.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .take(2_000)
        };
        let starts = |words: &[&str]| lines().any(|line| words.iter().any(|w| line.starts_with(w)));
        let first = lines().next()?;
        if first.starts_with('{') {
            return Some(Self::SandboxRuntime);
        }
        if starts(&["sbx policy ", "docker sbx policy "]) || sbx::is_table(first) {
            return Some(Self::Sbx);
        }
        if starts(&["http_access ", "acl "]) {
            return Some(Self::Squid);
        }
        if starts(&["[Adblock", "||", "@@||"]) {
            return Some(Self::Adblock);
        }
        if starts(&["services:"]) {
            return Some(Self::Smokescreen);
        }
        starts(&["0.0.0.0 ", "127.0.0.1 ", "127.0.0.1\t", "0.0.0.0\t"]).then_some(Self::Hosts)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an import made.
#[derive(Debug)]
pub struct Imported {
    /// The policy.
    pub file: File,
    /// What it does not say, or says otherwise than the original.
    pub notes: Vec<Note>,
}

/// Something that could not be translated, or not exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The line it stands on, from 1; 0 if on none.
    pub line: usize,
    /// What stands there, shortened.
    pub text: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.text.is_empty() {
            write!(f, "{}: ", crate::quote::Quoted(&self.text))?;
        }
        f.write_str(&self.reason)
    }
}

/// Why nothing could be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// More bytes than an importer takes.
    #[error("the file has {bytes} bytes, more than {MOST_BYTES}")]
    TooBig {
        /// Its size.
        bytes: usize,
    },
    /// Not of the format at all.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A part that must be there is not.
    #[error("{0}")]
    Missing(String),
}

/// Translates a policy. `part` names the service, of formats that have several in one file.
pub fn import(text: &str, format: Format, part: Option<&str>) -> Result<Imported, ImportError> {
    if text.len() > MOST_BYTES {
        return Err(ImportError::TooBig { bytes: text.len() });
    }
    let draft = match format {
        Format::Sbx => sbx::read(text),
        Format::SandboxRuntime => runtime::read(text)?,
        Format::Smokescreen => smokescreen::read(text, part)?,
        Format::Squid => squid::read(text),
        Format::Hosts | Format::Adblock => lists::read(text),
    };
    Ok(draft.finish(format))
}
