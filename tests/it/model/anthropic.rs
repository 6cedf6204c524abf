//! Anthropic's Messages API: claude, opencode.

use serde_json::{Value, json};

use super::{Next, next, typed};

pub(super) fn events(asked: &Value, command: &str) -> Vec<String> {
    let has_result = asked["messages"].to_string().contains("tool_result");
    let tools = asked["tools"].as_array().into_iter().flatten();
    let tools = tools.filter_map(|tool| tool["name"].as_str());
    match next(tools, &["Bash", "bash"], has_result, command) {
        Next::Run(tool, command) => stream(&shell(tool, command), "tool_use"),
        Next::Say(words) => stream(&text(words), "end_turn"),
    }
}

fn text(text: &str) -> [Value; 2] {
    [
        json!({ "type": "text", "text": "" }),
        json!({ "type": "text_delta", "text": text }),
    ]
}

fn shell(tool: &str, command: &str) -> [Value; 2] {
    let input = json!({ "command": command, "description": "what the test wants" }).to_string();
    [
        json!({ "type": "tool_use", "id": "toolu_1", "name": tool, "input": {} }),
        json!({ "type": "input_json_delta", "partial_json": input }),
    ]
}

/// One content block as it is streamed.
fn stream([start, delta]: &[Value; 2], stop_reason: &str) -> Vec<String> {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "stand-in", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    let all = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": start }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta", "usage": { "output_tokens": 1 },
            "delta": { "stop_reason": stop_reason, "stop_sequence": null },
        }),
        json!({ "type": "message_stop" }),
    ];
    all.iter().map(typed).collect()
}
