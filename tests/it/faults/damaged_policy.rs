//! A policy that a person broke: what they are told, and the way out.

use std::fs;

use crate::support::Ran;

#[test]
fn a_damaged_policy_is_told_with_its_file_and_the_way_out() {
    let home = super::home();
    let config = home.sandbox_dir("s").join("proxy-config.json");
    fs::write(&config, "{ \"policy\": \"deny\", \n").unwrap();
    let told = |ran: Ran, code: i32, file: &std::path::Path, says: &str| {
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
        assert!(ran.stderr.contains("proxy-config.json:2:1: "), "{ran:?}");
        let help = format!("help: mend `{}`, or {says}", file.display());
        assert!(ran.stderr.contains(&help), "{ran:?}");
    };
    for (line, code) in [
        (&["network", "proxy", "s"][..], 1),
        (&["network", "proxy", "s", "--allow-host", "a.example"], 1),
        (&["run", "s"], 1),
        (&["exec", "s", "true"], 125),
    ] {
        let says = "begin anew with `sandbox network proxy s --reset`";
        told(home.run(line), code, &config, says);
    }
    home.ok(&["network", "proxy", "s", "--reset"]);
    home.ok(&["network", "proxy", "s"]);

    let default = home.path().join(".sandboxd/proxy-config.json");
    fs::write(&default, "{ \"policy\": \"deny\", \n").unwrap();
    for line in [
        &["create", "-t", "./tiny.tar", "--name", "t", "shell", "."][..],
        &["network", "proxy", "s", "--reset"],
    ] {
        told(home.run(line), 1, &default, "remove it");
    }
}

#[test]
fn the_log_tells_people_of_a_policy_that_was_not_taken() {
    let home = super::home();
    let lines = [
        r#"{"timestamp":"2026-11-21T04:00:00Z","sandbox":"s","type":"config","action":"allowed","message":"policy 2 is in force"}"#,
        r#"{"timestamp":"2026-11-21T04:00:01Z","sandbox":"s","type":"config","action":"denied","reason":"config-invalid","message":"policy 2 stays in force: proxy-config.json:2:1: no"}"#,
        r#"{"timestamp":"2026-11-21T04:00:02Z","sandbox":"s","type":"request","method":"GET","url":"http://a.example/","target":"a.example:80","action":"allowed"}"#,
    ];
    let log = home.sandbox_dir("s").join("network.jsonl");
    fs::write(log, lines.join("\n") + "\n").unwrap();
    let request = "2026-11-21T04:00:02Z sandbox=s request GET http://a.example/ allowed\n";
    let refused = "2026-11-21T04:00:01Z sandbox=s config policy 2 stays in force: \
                   proxy-config.json:2:1: no\n";
    for (flags, shown) in [
        (&[][..], format!("{refused}{request}")),
        (&["--verdict", "denied"], refused.to_owned()),
        (&["--host", "a.example"], request.to_owned()),
    ] {
        let line = [&["network", "log", "s"], flags].concat();
        assert_eq!(home.ok(&line), shown, "{flags:?}");
    }
    for programs in ["--json", "--har", "--summary"] {
        let shown = home.ok(&["network", "log", "s", programs]);
        assert!(!shown.contains("stays in force"), "{programs}: {shown}");
    }
}
