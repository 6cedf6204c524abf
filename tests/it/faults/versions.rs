//! F30: files that another version of the program wrote.

use std::fs;

use serde_json::{Value, json};

use crate::image;
use crate::support::Home;

#[test]
fn a_newer_record_is_refused_and_left_alone() {
    let home = super::home();
    let file = home.sandbox_dir("s").join("sandbox.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    record["version"] = json!(1000);
    record["isolation"] = json!("something new");
    let newer = record.to_string();
    fs::write(&file, &newer).unwrap();
    let rows: [&[&str]; 5] = [
        &["run", "--detached", "s"],
        &["exec", "s", "true"],
        &["inspect", "s"],
        &["network", "proxy", "s", "--policy", "deny"],
        &["stop", "s"],
    ];
    for command in rows {
        let ran = home.run(command);
        assert!(matches!(ran.code, 1 | 125), "{command:?}: {ran:?}");
        assert!(
            ran.stderr.contains("`s` was made by a newer version")
                && ran.stderr.contains("\nhelp: "),
            "{command:?}: {ran:?}"
        );
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
}

#[test]
fn a_users_default_policy_is_never_rewritten() {
    let rows = [
        // Of another version, with keys that this one does not know, in the user's own layout.
        (
            r#"{ "policy":"deny",  "fromTheFuture": {"a": [1]} , "network": { } }"#,
            true,
        ),
        (r#"{"policy":"sometimes"}"#, false),
    ];
    for (text, good) in rows {
        let home = Home::new();
        image::tiny(&home.project());
        let default = home.path().join(".sandboxd/proxy-config.json");
        fs::create_dir(default.parent().unwrap()).unwrap();
        fs::write(&default, text).unwrap();
        let made = home.run(&["create", "-t", "./tiny.tar", "--name", "s", "shell", "."]);
        assert_eq!(made.code == 0, good, "{made:?}");
        if good {
            home.ok(&["network", "proxy", "s", "--allow-host", "a.test"]);
            home.ok(&["network", "proxy", "s", "--reset"]);
            let own = home.sandbox_dir("s").join("proxy-config.json");
            assert!(fs::read_to_string(own).unwrap().contains("fromTheFuture"));
        }
        assert_eq!(fs::read_to_string(&default).unwrap(), text);
    }
}
