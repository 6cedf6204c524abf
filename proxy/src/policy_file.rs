//! One look at a policy file: the proxy's, and that of the commands that show or change it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use policy_lang::Policy;
use policy_lang::config::{self, Document};

use crate::sources::Sources;

/// A policy file that was read and found good, with all that it includes.
#[derive(Debug)]
pub struct PolicyFile {
    /// The file itself.
    pub document: Document,
    /// What it means.
    pub policy: Policy,
    /// What its author should know; a sentence each.
    pub warnings: Vec<String>,
}

impl PolicyFile {
    /// Reads `path` and what it includes. Every error is reported at once, with its place.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::compile(path, &std::fs::read(path), &mut Sources::new(path))
    }

    pub(crate) fn compile(
        path: &Path,
        content: &io::Result<Vec<u8>>,
        sources: &mut Sources,
    ) -> Result<Self, ConfigError> {
        let unreadable = |message: String| ConfigError::Unreadable {
            path: path.to_owned(),
            message,
        };
        let bytes = content
            .as_ref()
            .map_err(|error| unreadable(error.to_string()))?;
        let text = str::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".into()))?;
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let (document, read) = Document::parse(text, &name).map_err(ConfigError::Invalid)?;
        let mut loader = |kind, name: &str, from: &str| sources.load(kind, name, from);
        let (policy, compiled) = document
            .compile_with(&mut loader)
            .map_err(ConfigError::Invalid)?;
        let warnings = read.iter().chain(&compiled).map(ToString::to_string);
        Ok(Self {
            policy,
            warnings: warnings.collect(),
            document,
        })
    }
}

/// Why a policy file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("cannot read `{}`: {}", path.display(), message)]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        message: String,
    },
    /// It was read and is wrong.
    #[error("{}", Listed(.0))]
    Invalid(Vec<config::Error>),
}

impl ConfigError {
    /// What the reader can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Invalid(errors) => errors.first()?.help(),
        }
    }
}

/// All errors of a file, in one line.
struct Listed<'a>(&'a [config::Error]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}
