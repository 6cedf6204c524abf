//! OpenAI's Responses API (codex) and Chat Completions (copilot with a key of one's own).

use serde_json::{Value, json};

use super::{Next, next, typed};

pub(super) fn responses(asked: &Value, command: &str) -> Vec<String> {
    let has_result = asked["input"].to_string().contains("function_call_output");
    let tools = asked["tools"].as_array().into_iter().flatten();
    let tools = tools.filter_map(|tool| tool["name"].as_str());
    let names = ["shell", "shell_command", "exec_command", "bash"];
    let item = match next(tools, &names, has_result, command) {
        Next::Run(tool, command) => json!({
            "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": tool,
            "arguments": arguments(tool, command),
        }),
        Next::Say(words) => json!({
            "type": "message", "id": "msg_1", "role": "assistant",
            "content": [{ "type": "output_text", "text": words }],
        }),
    };
    let usage = json!({ "input_tokens": 1, "output_tokens": 1, "total_tokens": 2 });
    let all = [
        json!({ "type": "response.created", "response": { "id": "resp_1" } }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": { "id": "resp_1", "usage": usage } }),
    ];
    all.iter().map(typed).collect()
}

pub(super) fn chat(asked: &Value, command: &str) -> Vec<String> {
    let has_result = asked["messages"].to_string().contains(r#""role":"tool""#);
    let tools = asked["tools"].as_array().into_iter().flatten();
    let tools = tools.filter_map(|tool| tool["function"]["name"].as_str());
    let (delta, reason) = match next(tools, &["bash"], has_result, command) {
        Next::Run(tool, command) => {
            let function = json!({ "name": tool, "arguments": arguments(tool, command) });
            let call =
                json!({ "index": 0, "id": "call_1", "type": "function", "function": function });
            (
                json!({ "role": "assistant", "tool_calls": [call] }),
                "tool_calls",
            )
        }
        Next::Say(words) => (json!({ "role": "assistant", "content": words }), "stop"),
    };
    let chunk = |delta: Value, reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stand-in",
            "choices": [choice],
        });
        format!("data: {chunk}\n\n")
    };
    vec![
        chunk(delta, None),
        chunk(json!({}), Some(reason)),
        "data: [DONE]\n\n".to_owned(),
    ]
}

/// As each tool wants its command.
fn arguments(tool: &str, command: &str) -> String {
    let arguments = match tool {
        "shell" => json!({ "command": ["bash", "-lc", command] }),
        "exec_command" => json!({ "cmd": command }),
        "bash" => json!({ "command": command, "description": "what the test wants" }),
        _ => json!({ "command": command }),
    };
    arguments.to_string()
}
