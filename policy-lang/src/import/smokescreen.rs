//! A smokescreen ACL in YAML.
//!
//! Format: `pkg/smokescreen/acl/v1/` of <https://github.com/stripe/smokescreen>. What a service may reach is decided by
//! its `allowed_domains`, then `global_deny_list`, then `global_allow_list`, then its `action`. `*.d` covers every depth.

use super::{
    ImportError,
    draft::{Draft, harmless},
    yaml::{self, Node},
};
use crate::Action;

pub(super) fn read(text: &str, service: Option<&str>) -> Result<Draft, ImportError> {
    let root = yaml::parse(text)?;
    let mut draft = Draft::default();
    let rule = rule(&root, service, &mut draft)?;
    for (key, line, value) in rule.members() {
        match key {
            "name" | "project" | "action" => {}
            "allowed_domains" => hosts(&mut draft, Action::Allow, value),
            "mitm_domains" => draft.note(
                line,
                key,
                "every allowed host is intercepted unless it is bypassed",
            ),
            _ => draft.note(line, key, "has no counterpart"),
        }
    }
    for (key, line, value) in root.members() {
        match key {
            "version" | "services" | "default" | "global_allow_list" => {}
            "global_deny_list" => hosts(&mut draft, Action::Deny, value),
            _ => draft.note(line, key, "has no counterpart"),
        }
    }
    if let Some(value) = root.get("global_allow_list") {
        hosts(&mut draft, Action::Allow, value);
    }
    match rule.get("action").and_then(Node::text) {
        Some("open") => draft.otherwise(Action::Allow),
        Some("report") => {
            draft.note(
                rule.line(),
                "action: report",
                "allows what no rule does; the log of requests reports it",
            );
            draft.otherwise(Action::Allow);
        }
        Some("enforce") => draft.otherwise(Action::Deny),
        _ => {
            draft.note(
                rule.line(),
                "action",
                "is missing or unknown; what no rule allows is denied",
            );
            draft.otherwise(Action::Deny);
        }
    }
    Ok(draft)
}

/// The rule of the service that was asked for, or of the only one, or the default rule.
fn rule<'n>(
    root: &'n Node,
    service: Option<&str>,
    draft: &mut Draft,
) -> Result<&'n Node, ImportError> {
    let services = root.get("services").map(Node::items).unwrap_or_default();
    let name = |node: &'n Node| node.get("name").and_then(Node::text).unwrap_or("");
    let names = || {
        services
            .iter()
            .map(|s| format!("`{}`", name(s)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let missing = |what: String| ImportError::Missing(harmless(&what));
    let chosen = match (service, root.get("default"), services) {
        (Some(wanted), _, _) => services
            .iter()
            .find(|node| name(node) == wanted)
            .ok_or_else(|| {
                missing(format!(
                    "there is no service `{wanted}`; there is {}",
                    names()
                ))
            })?,
        (None, Some(default), _) => default,
        (None, None, [only]) => only,
        (None, None, _) => {
            return Err(missing(format!(
                "there are several services: name one of {}",
                names()
            )));
        }
    };
    for other in services.iter().filter(|node| !std::ptr::eq(*node, chosen)) {
        draft.note(other.line(), name(other), "is another service");
    }
    Ok(chosen)
}

fn hosts(draft: &mut Draft, action: Action, list: &Node) {
    for item in list.items() {
        match item.text() {
            Some(text) => draft.host(action, text, item.line(), text),
            None => draft.note(item.line(), "", "is not a string"),
        }
    }
}
