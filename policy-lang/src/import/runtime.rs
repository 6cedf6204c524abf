//! Settings of Claude Code and of its sandbox-runtime (`srt`).
//!
//! Format: `src/sandbox/sandbox-config.ts` of <https://github.com/anthropic-experimental/sandbox-runtime>; in Claude
//! Code's `settings.json` the same object stands under `sandbox`, and `permissions` may hold `WebFetch(domain:…)`.
//! Every denial wins; `*.d` covers every depth; what is not allowed is denied.

use super::{ImportError, draft::Draft};
use crate::Action;
use serde_json::Value;

pub(super) fn read(text: &str) -> Result<Draft, ImportError> {
    let settings: Value = serde_json::from_str(text).map_err(|error| ImportError::Syntax {
        line: error.line(),
        message: format!("not JSON: {error}"),
    })?;
    let mut reader = Reader {
        text,
        draft: Draft::default(),
    };
    reader.draft.otherwise(Action::Deny);
    let inner = settings.get("sandbox").unwrap_or(&settings);
    let network = inner.get("network");
    let permissions = settings.get("permissions");
    if network.is_none() && permissions.is_none() {
        let message = "there is neither `network` nor `sandbox.network` nor `permissions`";
        return Err(ImportError::Missing(message.to_owned()));
    }
    for (key, value) in members(network) {
        match key {
            "deniedDomains" => reader.domains(Action::Deny, value),
            "allowedDomains" => reader.domains(Action::Allow, value),
            key => reader.note(key, "has no counterpart in a network policy"),
        }
    }
    for (key, value) in members(permissions) {
        match key {
            "deny" => reader.permissions(Action::Deny, value),
            "allow" => reader.permissions(Action::Allow, value),
            key => reader.note(key, "has no counterpart in a network policy"),
        }
    }
    for (key, _) in members(Some(inner)) {
        if !matches!(key, "network" | "permissions" | "sandbox" | "$schema") {
            reader.note(key, "is not about the network");
        }
    }
    reader.draft.denials_win();
    Ok(reader.draft)
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let object = value.and_then(Value::as_object);
    object
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

struct Reader<'a> {
    text: &'a str,
    draft: Draft,
}

impl Reader<'_> {
    /// The line on which a string of the file first stands.
    fn line(&self, text: &str) -> usize {
        let quoted = Value::from(text).to_string();
        let at = self.text.find(&quoted).or_else(|| self.text.find(text));
        let before = self.text.get(..at.unwrap_or(0)).unwrap_or("");
        before.matches('\n').count() + 1
    }

    fn note(&mut self, text: &str, reason: &str) {
        let line = self.line(text);
        self.draft.note(line, text, reason);
    }

    fn domains(&mut self, action: Action, value: &Value) {
        for domain in value.as_array().into_iter().flatten() {
            match domain.as_str() {
                Some(domain) => self.domain(action, domain),
                None => self.note(&domain.to_string(), "is not a string"),
            }
        }
    }

    fn domain(&mut self, action: Action, domain: &str) {
        if domain == "localhost" && action.is_allow() {
            self.note(
                domain,
                "reaches this machine only with a port: write `allow localhost:PORT`",
            );
        }
        let line = self.line(domain);
        self.draft.host(action, domain, line, domain);
    }

    fn permissions(&mut self, action: Action, value: &Value) {
        for rule in value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let domain = rule
                .strip_prefix("WebFetch(domain:")
                .and_then(|rest| rest.strip_suffix(')'));
            match domain {
                Some(domain) => {
                    let line = self.line(rule);
                    self.draft.host(action, domain, line, rule);
                }
                None => self.note(rule, "is not about hosts"),
            }
        }
    }
}
