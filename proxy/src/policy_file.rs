//! One look at a policy file: the proxy's, and that of the commands that show or change it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use policy_lang::config::{self, Document, Warning};
use policy_lang::{Policy, language};

use crate::sources::Sources;

/// A policy file that was read and found good, with all that it includes.
#[derive(Debug)]
pub struct PolicyFile {
    /// The file itself.
    pub document: Document,
    /// What it means.
    pub policy: Policy,
    /// What its author should know.
    pub warnings: Vec<Warning>,
}

/// The two forms of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `proxy-config.json`
    Json,
    /// The policy language.
    Language,
}

impl Form {
    /// The form of the file `path` with this text: JSON if it is called so or looks so.
    #[must_use]
    pub fn of(path: &Path, text: &str) -> Self {
        let named = path
            .extension()
            .is_some_and(|extension| extension == "json");
        match named || text.trim_start().starts_with('{') {
            true => Self::Json,
            false => Self::Language,
        }
    }
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
        let (document, policy, warnings) = match Form::of(path, text) {
            Form::Json => json(text, &name, sources),
            Form::Language => language(text, &name, sources),
        }
        .map_err(ConfigError::Invalid)?;
        Ok(Self {
            document,
            policy,
            warnings,
        })
    }
}

type Compiled = Result<(Document, Policy, Vec<Warning>), Vec<config::Error>>;

fn json(text: &str, name: &str, loader: &mut language::Loader<'_>) -> Compiled {
    let (document, mut warnings) = Document::parse(text, name)?;
    let (policy, compiled) = document.compile_with(loader)?;
    warnings.extend(compiled);
    Ok((document, policy, warnings))
}

fn language(text: &str, name: &str, loader: &mut language::Loader<'_>) -> Compiled {
    let in_json = |errors: Vec<language::Error>| -> Vec<config::Error> {
        errors.into_iter().map(config::Error::from).collect()
    };
    let file = language::File::parse(text, name).map_err(in_json)?;
    let (policy, warnings) = file.compile(loader).map_err(in_json)?;
    Ok((Document::from_file(&file)?, policy, warnings))
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
