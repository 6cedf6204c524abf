//! The daemon's settings, as far as the template does not have them.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::files;

const FILE: &str = "/etc/docker/daemon.json";

/// Adds what is missing. A file that is no JSON object stays, for the daemon to complain of.
pub(super) fn complete(root: &Path) -> io::Result<()> {
    let path = files::under(root, FILE);
    let found = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
        Err(error) => return Err(error),
    };
    match completed(&found) {
        Some(text) => files::replace(&path, text, 0o644),
        None => Ok(()),
    }
}

fn completed(found: &str) -> Option<String> {
    let mut settings: Map<String, Value> = serde_json::from_str(found).ok()?;
    for (key, value) in defaults() {
        settings.entry(key).or_insert(value);
    }
    Some(format!("{:#}\n", Value::Object(settings)))
}

/// No network leaves this machine, so nothing is to be translated or filtered on the way; without rules the daemon
/// starts seconds sooner where the processor is emulated. Ports are published by its own relay.
fn defaults() -> [(String, Value); 2] {
    ["iptables", "ip6tables"].map(|key| (key.to_owned(), json!(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_template_has_stays() {
        let ours = "\"iptables\": false,\n  \"ip6tables\": false";
        let rows = [
            ("{}", Some(format!("{{\n  {ours}\n}}\n"))),
            (
                r#"{"iptables": true, "debug": true}"#,
                Some(
                    "{\n  \"iptables\": true,\n  \"debug\": true,\n  \"ip6tables\": false\n}\n"
                        .to_owned(),
                ),
            ),
            ("{ broken", None),
            ("[]", None),
        ];
        for (found, wanted) in rows {
            assert_eq!(completed(found), wanted, "{found}");
            if let Some(text) = wanted {
                assert_eq!(completed(&text).unwrap(), text, "again");
            }
        }
    }

    #[test]
    fn the_file_is_made_and_completed() {
        let dir = tempfile::tempdir().unwrap();
        complete(dir.path()).unwrap();
        let path = files::under(dir.path(), FILE);
        let made = fs::read_to_string(&path).unwrap();
        assert!(made.contains("\"iptables\": false"), "{made}");
        complete(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), made);
    }
}
