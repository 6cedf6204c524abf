//! Files that an agent starts with, so that its first words are not questions about trust. Each is written
//! only where the template has none.

use std::path::Path;

use serde_json::{Value, json};
use wire::message::{Place, Seed};

/// What stands in the guest where a key would: the proxy puts the real one into requests.
const PLACEHOLDER: &str = "proxy-managed";

/// The seeds of the agent called `agent`, which is to trust the folder `workspace`. `has_key` says whether
/// the proxy has a key to give: without one the agent should let its user log in.
pub(crate) fn of(agent: &str, workspace: &Path, has_key: bool) -> Vec<Seed> {
    let workspace = workspace.to_string_lossy();
    match agent {
        "claude" => claude(&workspace, has_key),
        "codex" => codex(&workspace, has_key),
        "copilot" => vec![json_file(
            "~/.copilot/config.json",
            &json!({ "trusted_folders": [workspace] }),
        )],
        "gemini" => gemini(&workspace, has_key),
        _ => Vec::new(),
    }
}

fn claude(workspace: &str, has_key: bool) -> Vec<Seed> {
    let mut state = json!({
        "bypassPermissionsModeAccepted": true,
        "hasCompletedOnboarding": true,
        "projects": { workspace: { "hasTrustDialogAccepted": true } },
    });
    let mut settings = json!({
        "permissions": { "defaultMode": "bypassPermissions" },
        "skipDangerousModePermissionPrompt": true,
    });
    if has_key {
        // It asks once whether to use a key that it finds in its environment, and knows it by its end.
        put(
            &mut state,
            "customApiKeyResponses",
            json!({ "approved": [PLACEHOLDER] }),
        );
        put(
            &mut settings,
            "apiKeyHelper",
            json!(format!("echo {PLACEHOLDER}")),
        );
    }
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
        let folder = Path::new("/work/a \"b\"");
        for agent in &AGENTS {
            for has_key in [false, true] {
                let seeds = of(agent.name, folder, has_key);
                let all: String = seeds.iter().map(|seed| seed.content.as_str()).collect();
                let names_a_key = all.contains("proxy-managed") || all.contains("api-key");
                let asks_for_one = matches!(agent.name, "claude" | "codex" | "gemini");
                assert_eq!(
                    names_a_key,
                    has_key && asks_for_one,
                    "{}: {all}",
                    agent.name
                );
                let is_seeded = asks_for_one || agent.name == "copilot";
                assert_eq!(
                    all.contains(r#""/work/a \"b\"""#),
                    is_seeded,
                    "{}: {all}",
                    agent.name
                );
            }
        }
    }
}
