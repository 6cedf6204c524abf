//! Which policy a subcommand is about, and its text.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use policy_lang::LocalAddrs;
use policy_lang::config;
use policy_lang::language;
use proxy::Form;

use crate::name::SandboxName;
use crate::policy_file;
use crate::report::Failure;
use crate::state::Paths;

/// `--sandbox` or `--config`.
#[derive(Debug, Args)]
pub(crate) struct PolicySource {
    /// The policy of this sandbox
    #[arg(long, value_name = "SANDBOX", conflicts_with = "config")]
    pub(crate) sandbox: Option<SandboxName>,
    /// The policy in this file, in either form [default: the default policy file]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl PolicySource {
    /// Whether one of the options is there.
    pub(super) fn is_given(&self) -> bool {
        self.sandbox.is_some() || self.config.is_some()
    }

    /// The file that the options name.
    pub(super) fn file(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let paths = Paths::from_env()?;
        match &self.sandbox {
            Some(name) => Ok(paths.open(name)?.config()),
            None => {
                policy_file::ensure_default(&paths)?;
                Ok(paths.default_policy())
            }
        }
    }
}

/// The file that an argument names: a file, or a sandbox's.
pub(super) fn file_or_sandbox(text: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(text);
    if path.exists() {
        return Ok(path);
    }
    match text.parse::<SandboxName>() {
        Ok(name) => {
            let found = Paths::from_env()?.find(&name)?;
            found.map(|sandbox| sandbox.config()).ok_or_else(|| {
                Failure::new(format!("`{text}` is neither a file nor a sandbox"))
                    .help("see `sandbox ls` for sandboxes")
            })
        }
        // Reading it will say what is wrong.
        Err(_) => Ok(path),
    }
}

/// The text of a policy, not yet read.
pub(super) struct Text {
    /// What errors and verdicts call it.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) form: Form,
}

impl Text {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let cannot = || format!("cannot read `{}`", path.display());
        let bytes = fs::read(path).map_err(|error| Failure::doing(cannot(), &error))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Failure::doing(cannot(), &error.utf8_error()))?;
        Ok(Self {
            name: path.display().to_string(),
            form: Form::of(path, &text),
            text,
        })
    }

    /// Reads it as a file of the language.
    pub(super) fn language(&self) -> Result<language::File, Failure> {
        language::File::parse(&self.text, &self.name).map_err(|errors| {
            let shown: Vec<_> = errors.iter().map(|e| e.render(&self.text)).collect();
            Failure::worded(shown.concat().trim_end())
        })
    }

    /// Reads it as a `proxy-config.json`, with a warning a line.
    pub(super) fn json(&self) -> Result<(config::Document, Vec<String>), Failure> {
        let (document, warnings) =
            config::Document::parse(&self.text, &self.name).map_err(|errors| listed(&errors))?;
        let warnings = warnings.iter().map(ToString::to_string).collect();
        Ok((document, warnings))
    }
}

/// Every error of a file, each with its help.
pub(super) fn listed(errors: &[config::Error]) -> Failure {
    let lines: Vec<_> = errors
        .iter()
        .map(|error| match error.help() {
            Some(help) => format!("error: {error}\nhelp: {help}"),
            None => format!("error: {error}"),
        })
        .collect();
    Failure::worded(lines.join("\n"))
}

/// The addresses that rules about this machine are about.
pub(super) fn local_addrs() -> Result<LocalAddrs, Failure> {
    proxy::local_addrs()
        .map_err(|error| Failure::doing("cannot read this machine's addresses", &error))
}
