//! What the caller sees when a command fails: one sentence, what to do about it, an exit code.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Refused or failed.
pub(crate) const FAILED: u8 = 1;
/// The command line itself was wrong; clap uses the same code.
pub(crate) const USAGE: u8 = 2;
/// `sandbox exec` itself failed, before the command inside had a chance (Docker's code).
pub(crate) const EXEC_FAILED: u8 = 125;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    help: Option<String>,
    code: u8,
    /// The message says `error:` itself.
    worded: bool,
}

/// What every command returns; the code is the process's exit code.
pub(crate) type Outcome = Result<ExitCode, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            code: FAILED,
            worded: false,
        }
    }

    /// Words an error of a library crate: its own sentence and those of its sources.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some libraries repeat their source in their own `Display`.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::new(message)
    }

    /// Says what was being done when `error` happened: ``cannot read `FILE`: permission denied``.
    pub(crate) fn doing(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        let inner = Self::of(error);
        Self {
            message: format!("{what}: {}", inner.message),
            ..inner
        }
    }

    /// Says where in the input it is: ``FILE:LINE: …``.
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// A failure that is worded already, `error:` and all: several errors of a file.
    pub(crate) fn worded(message: impl Into<String>) -> Self {
        Self {
            worded: true,
            ..Self::new(message)
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn maybe_help(mut self, help: Option<impl Into<String>>) -> Self {
        self.help = help.map(Into::into).or(self.help);
        self
    }

    /// Says one thing more that helps.
    pub(crate) fn also_help(mut self, more: impl fmt::Display) -> Self {
        self.help = Some(match self.help {
            Some(help) => format!("{help}\nhelp: {more}"),
            None => more.to_string(),
        });
        self
    }

    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Gives a plain failure another code: one that runs commands must not look like what they run.
    pub(crate) fn code_unless_set(self, code: u8) -> Self {
        if self.code == FAILED {
            self.code(code)
        } else {
            self
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.worded { "" } else { "error: " };
        write!(f, "{prefix}{}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

/// Writes data for the caller or for the next program in the pipe.
///
/// A reader that went away (`sandbox ls | head -1`) is not a failure.
pub(crate) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::doing("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// The same for text that ends its own lines.
pub(crate) fn print_raw(text: impl fmt::Display) -> Result<(), Failure> {
    match write!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::doing("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Talks to the person at the terminal; nothing is lost when nobody listens.
pub(crate) fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// One JSON value on a line of its own.
pub(crate) fn print_line_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value);
    print(json.map_err(|error| Failure::doing("cannot write JSON", &error))?)
}

/// Prints a value as indented JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::doing("cannot write the answer as JSON", &error))?;
    print(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_of_causes_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open `x`")]
        struct Outer(#[source] io::Error);

        let failure = Failure::of(&Outer(io::Error::other("disk on fire"))).help("put it out");
        assert_eq!(
            failure.to_string(),
            "error: cannot open `x`: disk on fire\nhelp: put it out"
        );
    }
}
