//! The request to run a program.

use serde::{Deserialize, Serialize};

/// A program to run. Text only: a name that is not UTF-8 cannot be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments. A program without a slash is looked up in the `PATH` it will get.
    pub argv: Vec<String>,
    /// Variables over those of the sandbox.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Working directory; the user's home if absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// `name|uid[:group|gid]`; the sandbox's user if absent.
    #[serde(default)]
    pub user: Option<String>,
    /// A terminal to run it in.
    #[serde(default)]
    pub tty: Option<Tty>,
    /// Whether standard input is connected; otherwise it is empty.
    #[serde(default)]
    pub stdin: bool,
    /// Let it run on by itself, with no input and no output, once it has started.
    #[serde(default)]
    pub detach: bool,
}

/// The terminal at the host's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tty {
    /// Height in characters.
    pub rows: u16,
    /// Width in characters.
    pub cols: u16,
    /// What `TERM` becomes.
    pub term: String,
}
