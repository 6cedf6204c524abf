//! What a check found, for people and for machines.

use std::fs;
use std::path::{Path, PathBuf};

use policy_lang::config::{Error, Warning};
use policy_lang::{Position, Snippet};
use serde::Serialize;

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) file: PathBuf,
    pub(super) line: u32,
    pub(super) column: u32,
    #[serde(skip)]
    chars: usize,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Error,
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Finding {
    /// An error in `path`, or in a file that it names.
    pub(super) fn error(path: &Path, error: &Error) -> Self {
        Self {
            severity: Severity::Error,
            file: beside(path, &error.source_name),
            line: error.at.line,
            column: error.at.column,
            chars: error.chars,
            message: error.problem.to_string(),
            help: error.help(),
        }
    }

    pub(super) fn warning(path: &Path, warning: &Warning) -> Self {
        Self {
            severity: match warning.kind.is_error() {
                true => Severity::Error,
                false => Severity::Warning,
            },
            file: beside(path, &warning.source_name),
            line: warning.at.line,
            column: warning.at.column,
            chars: 0,
            message: warning.kind.to_string(),
            help: warning.kind.help(),
        }
    }

    /// With its line, for a terminal.
    pub(super) fn render(&self) -> String {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let at = Position {
            line: self.line,
            column: self.column,
        };
        let title = format!("{}: {}", self.severity.word(), self.message);
        let name = self.file.display().to_string();
        let shown = Snippet::new(&name, at, self.chars).render(&title, &text, self.help.clone());
        shown.trim_end().to_owned()
    }

    /// A workflow command of GitHub Actions: `::error file=…,line=…,col=…::message`.
    pub(super) fn annotation(&self) -> String {
        let message = match &self.help {
            Some(help) => format!("{} (help: {help})", self.message),
            None => self.message.clone(),
        };
        format!(
            "::{} file={},line={},col={}::{}",
            self.severity.word(),
            property(&self.file.display().to_string()),
            self.line,
            self.column,
            data(&message),
        )
    }
}

/// The path of the file that `path` calls `name`: names are relative to it.
pub(super) fn beside(path: &Path, name: &str) -> PathBuf {
    match path.parent() {
        Some(dir) => dir.join(name),
        None => PathBuf::from(name),
    }
}

/// Escapes the message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_cannot_be_forged() {
        let finding = Finding {
            severity: Severity::Error,
            file: "a,b:c.policy".into(),
            line: 3,
            column: 7,
            chars: 0,
            message: "100 %\n::error::x".into(),
            help: None,
        };
        assert_eq!(
            finding.annotation(),
            "::error file=a%2Cb%3Ac.policy,line=3,col=7::100 %25%0A::error::x"
        );
    }
}
