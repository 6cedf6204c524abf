//! Files that an agent starts with, so that its first words are not questions about trust. Each is written
//! only where the template has none.

use std::path::Path;

use serde_json::{Value, json};
use wire::message::{Place, Seed};

use crate::credentials::PLACEHOLDER;

/// The seeds of the agent called `agent`, which is to trust the folder `workspace`. `has_key` says whether
/// the proxy has a key to give: without one the agent should let its user log in.
pub(crate) fn of(agent: &str, workspace: &Path, has_key: bool) -> Vec<Seed> {
    let workspace = workspace.to_string_lossy();
    match agent {
        "claude" => claude(&workspace),
        "codex" => codex(&workspace, has_key),
        "copilot" => vec![json_file(
            "~/.copilot/config.json",
            &json!({ "trusted_folders": [workspace] }),
        )],
        "gemini" => gemini(&workspace, has_key),
        _ => Vec::new(),
    }
}

fn claude(workspace: &str) -> Vec<Seed> {
    let state = json!({
        "bypassPermissionsModeAccepted": true,
        "hasCompletedOnboarding": true,
        "projects": { workspace: { "hasTrustDialogAccepted": true } },
        // It asks once whether to use a key that it finds in its environment, and knows it by its end. No
        // `apiKeyHelper`: that would outlive the key, and keep its user from logging in.
        "customApiKeyResponses": { "approved": [PLACEHOLDER], "rejected": [] },
    });
    let settings = json!({
        "permissions": { "defaultMode": "bypassPermissions" },
        "skipDangerousModePermissionPrompt": true,
    });
    vec![
        json_file("~/.claude.json", &state),
        json_file("~/.claude/settings.json", &settings),
    ]
}

fn codex(workspace: &str, has_key: bool) -> Vec<Seed> {
    // A JSON string is a TOML basic string.
    let folder = Value::from(workspace);
    let config = format!(
        "approval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n\n\
         [projects.{folder}]\ntrust_level = \"trusted\"\n"
    );
    let mut seeds = vec![file("~/.codex/config.toml", config)];
    if has_key {
        let auth = json!({ "OPENAI_API_KEY": PLACEHOLDER });
        seeds.push(json_file("~/.codex/auth.json", &auth));
    }
    seeds
}

fn gemini(workspace: &str, has_key: bool) -> Vec<Seed> {
    let mut settings = json!({ "tools": { "sandbox": false } });
    if has_key {
        let key = json!({ "auth": { "selectedType": "gemini-api-key" } });
        put(&mut settings, "security", key);
    }
    vec![
        json_file("~/.gemini/settings.json", &settings),
        json_file(
            "~/.gemini/trustedFolders.json",
            &json!({ workspace: "TRUST_FOLDER" }),
        ),
    ]
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn json_file(path: &str, value: &Value) -> Seed {
    file(path, format!("{value:#}\n"))
}

fn file(path: &str, content: String) -> Seed {
    Seed {
        path: path.to_owned(),
        content,
        place: Place::IfAbsent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AGENTS;

    #[test]
    fn each_agent_trusts_the_folder_and_no_key_is_promised_that_is_not_there() {
        let folder = Path::new("/src/a \"b\"");
        for agent in &AGENTS {
            for has_key in [false, true] {
                let seeds = of(agent.name, folder, has_key);
                let all: String = seeds.iter().map(|seed| seed.content.as_str()).collect();
                let names_a_key = all.contains("OPENAI_API_KEY") || all.contains("api-key");
                let needs_one = matches!(agent.name, "codex" | "gemini");
                assert_eq!(names_a_key, has_key && needs_one, "{}: {all}", agent.name);
                let is_seeded = needs_one || matches!(agent.name, "claude" | "copilot");
                assert_eq!(
                    all.contains(r#""/src/a \"b\"""#),
                    is_seeded,
                    "{}: {all}",
                    agent.name
                );
            }
        }
    }
}
