//! Google's Gemini API: gemini.

use serde_json::{Value, json};

use super::{Next, next};

pub(super) fn events(asked: &Value, command: &str) -> Vec<String> {
    let has_result = asked["contents"].to_string().contains("functionResponse");
    let tools = asked["tools"].as_array().into_iter().flatten();
    let tools = tools.filter_map(|tool| tool["functionDeclarations"].as_array());
    let tools = tools.flatten().filter_map(|tool| tool["name"].as_str());
    let part = match next(tools, &["run_shell_command"], has_result, command) {
        Next::Run(tool, command) => {
            json!({ "functionCall": { "name": tool, "args": { "command": command } } })
        }
        Next::Say(words) => json!({ "text": words }),
    };
    let content = json!({ "role": "model", "parts": [part] });
    let candidate = json!({ "content": content, "finishReason": "STOP", "index": 0 });
    let usage = json!({ "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 });
    let event = json!({ "candidates": [candidate], "usageMetadata": usage });
    vec![format!("data: {event}\r\n\r\n")]
}
