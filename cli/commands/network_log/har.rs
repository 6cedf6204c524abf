//! Entries as an HTTP Archive (HAR 1.2), for browsers' network panels and other viewers.
//!
//! The log has no headers, bodies or queries, so the archive has none.

use proxy::audit::Event;
use serde_json::{Value, json};

pub(super) fn of(events: &[Event]) -> Value {
    json!({
        "log": {
            "version": "1.2",
            "creator": { "name": "sandbox", "version": env!("CARGO_PKG_VERSION") },
            "entries": events.iter().map(entry).collect::<Vec<_>>(),
        }
    })
}

fn entry(event: &Event) -> Value {
    let wait = event.first_byte_ms.unwrap_or(event.duration_ms);
    // A `CONNECT` has a host and port for its URL, and viewers want a scheme.
    let url = match event.url.contains("://") {
        true => event.url.clone(),
        false => format!("https://{}/", event.url),
    };
    let rule = event.rule.as_ref().map_or("the default", |rule| &rule.text);
    let reason = event.reason.as_deref().unwrap_or("ok");
    json!({
        "startedDateTime": event.timestamp.to_string(),
        "time": event.duration_ms,
        "request": {
            "method": event.method,
            "url": url,
            "httpVersion": "",
            "cookies": [], "headers": [], "queryString": [],
            "headersSize": -1,
            "bodySize": event.bytes_up,
        },
        "response": {
            "status": event.status.unwrap_or(0),
            "statusText": "",
            "httpVersion": "",
            "cookies": [], "headers": [],
            "content": { "size": event.bytes_down, "mimeType": "" },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": event.bytes_down,
        },
        "cache": {},
        "timings": { "send": 0, "wait": wait, "receive": event.duration_ms.saturating_sub(wait) },
        "serverIPAddress": event.address.map_or(String::new(), |address| address.ip().to_string()),
        "comment": format!("{} by {rule}: {reason}", event.action),
    })
}
