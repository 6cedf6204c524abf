//! `sandbox policy`: what each subcommand prints, where, and how it exits.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::dns::StubDns;
use crate::image;
use crate::support::{Home, Ran};

const TEAM: &str = "\
default deny
allow *.example.org   # all of it
block evil.example.org
allow api.test:443 GET /repos/**
inject api.test x-api-key from env API_KEY
expect allow https://www.example.org/
expect deny https://evil.example.org/
";

fn home() -> Home {
    let home = Home::new();
    let project = home.project();
    fs::write(project.join("team.policy"), TEAM).unwrap();
    fs::write(
        project.join("wrong.policy"),
        "default deny\nalow a.test\nallow *.example.org\nexpect deny https://www.example.org/\n",
    )
    .unwrap();
    fs::write(
        project.join("tests.policy"),
        "expect allow GET https://api.test/repos/x\nexpect allow POST https://api.test/repos/x # no\n",
    )
    .unwrap();
    home
}

#[test]
fn tests_of_a_policy_run() {
    let home = home();
    let ran = home.run(&["policy", "test", "team.policy"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, "2 passed, 0 failed\n"),
        "{ran:?}"
    );
    let ran = home.run(&["policy", "test", "team.policy", "tests.policy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in [
        "error: expected allow, found deny: POST https://api.test/repos/x",
        "--> tests.policy:2:1",
        "2 | expect allow POST https://api.test/repos/x # no",
        "  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n",
        "= deny in `team.policy`: no rule covers it and the default is deny",
        "3 passed, 1 failed",
    ] {
        assert!(ran.stderr.contains(part), "{part}\n{}", ran.stderr);
    }
    let ran = home.run(&[
        "policy",
        "test",
        "--json",
        "--config",
        "team.policy",
        "tests.policy",
    ]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 4);
    assert_eq!(json[3]["passed"], false);
    assert_eq!(
        (&json[3]["line"], &json[3]["reason"]),
        (&2.into(), &"default".into())
    );
    // No test is no success.
    fs::write(home.project().join("none.policy"), "default deny\n").unwrap();
    assert_eq!(home.run(&["policy", "test", "none.policy"]).code, 1);
    assert_eq!(home.run(&["policy", "test", "wrong.policy"]).code, 1);
}

#[test]
fn files_are_formatted_in_place() {
    let home = home();
    let path = home.project().join("team.policy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = home.run(&["policy", "fmt", "--check", "team.policy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout.contains("-allow *.example.org   # all of it"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("+allow *.example.org # all of it"),
        "{ran:?}"
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        TEAM,
        "--check changes nothing"
    );
    // A slip in one file keeps every other as it is.
    let ran = home.run(&["policy", "fmt", "team.policy", "wrong.policy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("--> wrong.policy:2:1"), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), TEAM);
    home.ok(&["policy", "fmt", "team.policy"]);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("allow *.example.org # all of it\n")
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(home.ok(&["policy", "fmt", "--check", "team.policy"]), "");
}

#[test]
fn policies_convert_there_and_back() {
    let home = home();
    let json = home.ok(&["policy", "convert", "team.policy"]);
    assert!(
        json.contains(r#"{"host":"api.test","header":"x-api-key","from":{"env":"API_KEY"}}"#),
        "{json}"
    );
    home.ok(&["policy", "convert", "team.policy", "-o", "team.json"]);
    assert_eq!(
        fs::read_to_string(home.project().join("team.json")).unwrap(),
        json
    );
    let back = home.ok(&["policy", "convert", "team.json", "--to", "language"]);
    assert!(back.contains("allow *.example.org # all of it\n"), "{back}");
    fs::write(home.project().join("back.policy"), &back).unwrap();
    let ran = home.run(&["policy", "diff", "team.policy", "back.policy"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    // Both forms are policies of the same worth to every command.
    for file in ["team.policy", "team.json", "back.policy"] {
        home.ok(&["policy", "check", file]);
        home.ok(&["policy", "test", file]);
    }
}

#[test]
fn a_diff_shows_requests() {
    let home = home();
    fs::write(
        home.project().join("new.policy"),
        TEAM.replace("block evil.example.org\n", "")
            .replace("GET /repos", "GET,PUT /repos"),
    )
    .unwrap();
    let ran = home.run(&["policy", "diff", "team.policy", "new.policy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<_> = ran
        .stdout
        .lines()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(
        lines[0].starts_with("newly allowed: PUT https://api.test/repos/"),
        "{ran:?}"
    );
    assert!(
        lines[1].starts_with("newly allowed: GET https://evil.example.org/"),
        "{ran:?}"
    );
    let ran = home.run(&["policy", "diff", "--json", "new.policy", "team.policy"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json[0]["change"], "newly-denied");
    assert_eq!(json[0]["after"]["action"], "deny");
    let ran = home.run(&["policy", "diff", "team.policy", "nosuch"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .contains("`nosuch` is neither a file nor a sandbox"),
        "{ran:?}"
    );
}

#[test]
fn a_check_says_all_and_fits_ci() {
    let home = home();
    let project = home.project();
    fs::write(
        project.join("odd.policy"),
        "default deny\nallow *.co.uk\nallow net 127.0.0.0/8\nset unused = {}\n",
    )
    .unwrap();
    let ran = home.run(&["policy", "check", "wrong.policy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("= help: did you mean `allow`?"),
        "{ran:?}"
    );
    let ran = home.run(&[
        "policy",
        "check",
        "--format",
        "github",
        "odd.policy",
        "wrong.policy",
    ]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{ran:?}");
    assert!(
        lines[0].starts_with("::warning file=odd.policy,line=2,col=1::`*.co.uk` covers"),
        "{ran:?}"
    );
    assert!(
        lines[1].starts_with(
            "::error file=odd.policy,line=3,col=1::network `127.0.0.0/8` is lifted in vain"
        ),
        "{ran:?}"
    );
    assert!(
        lines[2].starts_with("::warning file=odd.policy,line=4,col=5::set `unused` is not used"),
        "{ran:?}"
    );
    assert!(
        lines[3].starts_with("::error file=wrong.policy,line=2,col=1::`alow` starts no statement"),
        "{ran:?}"
    );
    let ran = home.run(&["policy", "check", "--json", "odd.policy"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&json[1]["severity"], &json[1]["line"]),
        (&"error".into(), &3.into())
    );
    // What is counted: a name twice in one list is one.
    fs::write(project.join("some.list"), "a.test\n.b.test\na.test\n").unwrap();
    fs::write(
        project.join("lists.policy"),
        "default allow\nblock list \"some.list\"\nbypass list \"some.list\"\nblock c.test\n",
    )
    .unwrap();
    let ran = home.run(&["policy", "check", "lists.policy"]);
    assert!(
        ran.stderr
            .contains("is good: default allow, 1 rule, 4 listed names"),
        "{ran:?}"
    );
    // A rule that cannot be enforced is an error, though the rest of the policy holds.
    fs::write(
        project.join("vain.policy"),
        "default deny\nallow *.co.uk\nallow net 127.0.0.0/8\n",
    )
    .unwrap();
    let ran = home.run(&["policy", "check", "vain.policy"]);
    let said =
        "`vain.policy` says what cannot be enforced: default deny, 2 rules, 1 error, 1 warning";
    assert_eq!((ran.code, ran.stderr.lines().last()), (1, Some(said)));
    // A warning is no failure, unless asked for.
    fs::write(project.join("mild.policy"), "default deny\nallow *.co.uk\n").unwrap();
    assert_eq!(home.run(&["policy", "check", "mild.policy"]).code, 0);
    assert_eq!(
        home.run(&["policy", "check", "--strict", "mild.policy"])
            .code,
        1
    );
    let schema: Value = serde_json::from_str(&home.ok(&["policy", "schema"])).unwrap();
    assert_eq!(schema["properties"]["policy"]["enum"][0], "allow");
}

#[test]
fn an_explanation_resolves_as_the_proxy_does() {
    let home = home();
    let dns = StubDns::start();
    dns.answer(&["203.0.113.9".parse().unwrap(), "10.0.0.1".parse().unwrap()]);
    let server = dns.addr().to_string();
    let explain = |args: &[&str]| {
        let fixed = [
            "policy",
            "explain",
            "--config",
            "team.policy",
            "--dns",
            &server,
        ];
        home.run(&[&fixed, args].concat())
    };
    let ran = explain(&["--json", "https://www.example.org/"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(json["addresses"][0]["addr"], "203.0.113.9");
    assert_eq!(json["addresses"][1]["action"], "deny");
    let ran = explain(&["--method", "PUT", "https://api.test/repos/x"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in [
        "deny api.test:443",
        "request `PUT` `/repos/x`: deny: no rule covers it",
        "does not match: another method",
        "credential: header x-api-key from env API_KEY (team.policy:5:1)",
    ] {
        assert!(ran.stdout.contains(part), "{part}\n{}", ran.stdout);
    }
    // A name that is denied is not asked for.
    let before = dns.queries();
    let ran = explain(&["https://evil.example.org/"]);
    assert_eq!((ran.code, dns.queries()), (1, before), "{ran:?}");
    assert!(
        ran.stdout
            .contains("no address was judged: a name that is denied is not resolved"),
        "{ran:?}"
    );
    let ran = home.run(&[
        "policy",
        "explain",
        "--config",
        "team.policy",
        "--no-resolve",
        "www.example.org",
    ]);
    assert!(
        ran.code == 0 && ran.stdout.contains("not resolved, as asked"),
        "{ran:?}"
    );
}

#[test]
fn an_explanation_tells_the_credentials_of_built_in_services() {
    let home = home();
    fs::write(
        home.project().join("own.policy"),
        "default allow\ninject api.openai.com x-own from env OWN\n",
    )
    .unwrap();
    image::tiny(&home.project());
    home.ok(&["create", "-t", "./tiny.tar", "--name", "s", "claude", "."]);
    let anthropic = "credential: header x-api-key from env ANTHROPIC_API_KEY (built in)";
    let maybe = format!("{anthropic}, where the proxy is given it\n");
    let anthropic = format!("{anthropic}\n");
    let (sandbox, own) = (["--sandbox", "s"], ["--config", "own.policy"]);
    let rows: &[(_, &str, bool, Option<&str>)] = &[
        (
            sandbox,
            "https://api.anthropic.com/v1/x",
            true,
            Some(&anthropic),
        ),
        // Not set, not TLS, and no service of this agent's.
        (sandbox, "https://api.anthropic.com/v1/x", false, None),
        (sandbox, "http://api.anthropic.com/v1/x", true, None),
        (sandbox, "https://api.openai.com/", true, None),
        // Whose proxy it is is not known; a line of the policy is all there is about its host.
        (own, "api.anthropic.com", false, Some(&maybe)),
        (
            own,
            "api.openai.com",
            true,
            Some("credential: header x-own from env OWN (own.policy:2:1)\n"),
        ),
    ];
    for (source, url, set, expected) in rows {
        let mut command = home.command(&["policy", "explain", "--no-resolve"]);
        command.args(source).arg(url);
        for variable in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"] {
            match set {
                true => command.env(variable, "secret-of-the-test"),
                false => command.env_remove(variable),
            };
        }
        let ran = Ran::from(command.output().unwrap());
        let told: Vec<_> = ran.stdout.split_inclusive('\n').collect();
        let told = told.iter().filter(|line| line.starts_with("credential"));
        let told: Vec<_> = told.copied().collect();
        assert_eq!(told, Vec::from_iter(*expected), "{source:?} {url} {ran:?}");
        assert!(!ran.stdout.contains("secret-of-the-test"));
    }
}

const LOG: &str = concat!(
    r#"{"timestamp":"2026-01-29T10:15:23Z","sandbox":"x","type":"request","method":"GET","url":"https://www.example.org/a","action":"allowed","target":"www.example.org:443","address":"203.0.113.9:443"}"#,
    "\n",
    r#"{"timestamp":"2026-01-29T10:15:24Z","sandbox":"x","type":"request","method":"PUT","url":"https://api.test/repos/7","action":"denied","target":"api.test:443"}"#,
    "\n",
    r#"{"timestamp":"2026-01-29T10:15:25Z","sandbox":"x","type":"tunnel","method":"CONNECT","url":"","action":"allowed","target":"old.test:443"}"#,
    "\n",
    r#"{"timestamp":"2026-01-29T10:15:26Z","sandbox":"x","type":"config","action":"allowed","message":"read"}"#,
    "\n",
);

#[test]
fn a_log_is_replayed_and_learnt_from() {
    let home = home();
    fs::write(home.project().join("network.jsonl"), LOG).unwrap();
    fs::write(
        home.project().join("new.policy"),
        "default deny\nallow *.example.org\nallow api.test PUT /repos/*\n",
    )
    .unwrap();
    let ran = home.run(&["policy", "replay", "--log", "network.jsonl", "new.policy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(
        lines[0].starts_with("newly denied: CONNECT old.test:443: no rule covers it"),
        "{ran:?}"
    );
    assert!(
        lines[1].starts_with(
            "newly allowed: PUT api.test:443/repos/7: rule `allow api.test PUT /repos/*`"
        ),
        "{ran:?}"
    );
    assert_eq!(ran.stderr, "2 of 3 requests would be judged otherwise\n");
    let learn = [
        "policy",
        "learn",
        "--log",
        "network.jsonl",
        "--config",
        "team.policy",
    ];
    let diff = home.ok(&learn);
    for line in [
        "-allow *.example.org # all of it",
        "-allow api.test:443 GET /repos/**",
        " block evil.example.org",
        "+allow old.test:443",
        "+allow www.example.org:443 GET /a",
    ] {
        assert!(diff.lines().any(|found| found == line), "{line}\n{diff}");
    }
    home.ok(&[&learn[..], &["-o", "learnt.policy"]].concat());
    // Denied requests stay denied; allowed ones are allowed.
    let ran = home.run(&[
        "policy",
        "replay",
        "--log",
        "network.jsonl",
        "learnt.policy",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    let ran = home.run(&["policy", "learn"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn other_tools_policies_are_imported() {
    let home = home();
    fs::write(
        home.project().join("squid.conf"),
        "acl good dstdomain .example.com\nhttp_port 3128\nhttp_access allow good\nhttp_access deny all\n",
    )
    .unwrap();
    let ran = home.run(&["policy", "import", "squid.conf", "-o", "squid.policy"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "squid.conf: line 2: `http_port 3128`: is not about which hosts may be reached\n\
         read as squid; 1 thing is not translated, or not exactly\n"
    );
    home.ok(&["policy", "check", "squid.policy"]);
    let json = home.ok(&[
        "policy",
        "import",
        "--json",
        "--from",
        "squid",
        "squid.conf",
    ]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["format"], &json["notes"][0]["line"]),
        (&"squid".into(), &2.into())
    );
    fs::write(home.project().join("what"), "what is this\n").unwrap();
    let ran = home.run(&["policy", "import", "what"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("looks like none of the formats"),
        "{ran:?}"
    );
}
