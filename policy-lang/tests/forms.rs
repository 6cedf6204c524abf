//! `proxy-config.json` and the policy language are two forms of one model.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod generate;

use fastrand::Rng;
use generate::{HOSTS, NETS, random_text};
use policy_lang::{
    Net, Policy,
    config::{Document, Edit},
    language::{File, FileKind, Source, no_files},
};

fn parse(text: &str) -> File {
    File::parse(text, "test").unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn document(text: &str) -> Document {
    let parsed = Document::parse(text, "json");
    parsed
        .unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
        .0
}

/// Every construct of the language, and what it is in JSON.
const EVERY: &str = r##"# team.policy

# who may be reached
default deny # all else
default net private
set ai = { api.anthropic.com:443, api.openai.com:443 }
set mirrors = {
  # the first
  deb.example.org, # with a reason
  *.pypi.example,
  # no more
} # after
allow $ai
allow *.example.org
allow net.
block evil.example.org
bypass pinned.example.com
allow $mirrors GET,HEAD
block api.github.com:443 /repos/a%2Fb/**
block list "hosts \"x\".txt"
allow net 10.1.2.0/24
block net 169.254.0.0/16
bypass net 203.0.113.0/24
limit *.example.org 20/s burst 40
limit a.test:80-90 3/h
budget *.example.org 20 names/h
budget a.test 50MB/d up
inject api.anthropic.com x-api-key from env ANTHROPIC_API_KEY
inject api.openai.com authorization from command "pass openai" as "Bearer %s" on /v1/** limit 9/h burst 2 budget 5GiB/m
inject maps.test query "key" from oauth "maps.json"
inject maps.test form "key" from keyring "maps"
include "other.policy"
expect allow GET https://api.github.com/repos/myorg/x
expect deny https://evil.example.org/
# the end
# json {"dockers":{"n":1e400}}
# json {"network":{"x y":[1, "a b"]}}
"##;

const EVERY_JSON: &str = r##"{
  "policy": "deny",
  "network": {
    "x y": [1,"a b"],
    "allowedDomains": [
      "$ai",
      "*.example.org",
      "net"
    ],
    "blockedDomains": [
      "evil.example.org"
    ],
    "bypassDomains": [
      "pinned.example.com"
    ],
    "allowCIDR": [
      "10.1.2.0/24"
    ],
    "blockCIDR": [
      "169.254.0.0/16"
    ],
    "bypassCIDR": [
      "203.0.113.0/24"
    ],
    "defaultNet": "private",
    "sets": {
      "ai": ["api.anthropic.com:443","api.openai.com:443"],
      "mirrors": ["deb.example.org","*.pypi.example"]
    },
    "requests": [
      {"action":"allow","host":"$mirrors","methods":["GET","HEAD"]},
      {"action":"block","host":"api.github.com:443","path":"/repos/a%2Fb/**"}
    ],
    "lists": [
      {"action":"block","file":"hosts \"x\".txt"}
    ],
    "limits": [
      {"host":"*.example.org","rate":"20/s burst 40"},
      {"host":"a.test:80-90","rate":"3/h"}
    ],
    "budgets": [
      {"host":"*.example.org","budget":"20 names/h"},
      {"host":"a.test","budget":"50MB/d up"}
    ],
    "credentials": [
      {"host":"api.anthropic.com","header":"x-api-key","from":{"env":"ANTHROPIC_API_KEY"}},
      {"host":"api.openai.com","header":"authorization","from":{"command":"pass openai"},"as":"Bearer %s","path":"/v1/**","limit":"9/h burst 2","budget":"5GiB/m"},
      {"host":"maps.test","query":"key","from":{"oauth":"maps.json"}},
      {"host":"maps.test","form":"key","from":{"keyring":"maps"}}
    ]
  },
  "include": [
    "other.policy"
  ],
  "expect": [
    {"verdict":"allow","method":"GET","url":"https://api.github.com/repos/myorg/x"},
    {"verdict":"deny","url":"https://evil.example.org/"}
  ],
  "comments": [
    {"before":"default deny","text":"team.policy"},
    {"before":"default deny","text":"who may be reached"},
    {"after":"default deny","text":"all else"},
    {"before":"$mirrors deb.example.org","text":"the first"},
    {"after":"$mirrors deb.example.org","text":"with a reason"},
    {"before":"$mirrors","text":"no more"},
    {"after":"set mirrors","text":"after"},
    {"text":"the end"}
  ],
  "dockers": {"n":1e400}
}
"##;

#[test]
fn every_construct_has_its_key() {
    let converted = Document::from_file(&parse(EVERY)).unwrap().to_string();
    assert_eq!(without_space(&converted), without_space(EVERY_JSON));
    let back = document(&converted).to_language();
    // Blank lines, which nobody reads as rules, are not kept; nor is space within unknown values.
    let kept = EVERY.replace("\n\n", "\n").replace("[1, ", "[1,");
    assert_eq!(back, kept);
    let (policy, _) = compile(&parse(EVERY));
    let (json, _) = document(&converted).compile_with(&mut load).unwrap();
    assert_eq!(policy.digest(), json.digest());
    assert_eq!(shown(&policy), shown(&json));
}

/// Key order within `network` aside.
fn without_space(text: &str) -> serde_json::Value {
    // A number that JSON libraries cannot hold is kept as it is, too.
    serde_json::from_str(&text.replace("1e400", "\"1e400\"")).unwrap()
}

fn load(kind: FileKind, name: &str, _: &str) -> Result<Source, String> {
    let text = match kind {
        FileKind::Policy => "allow included.test",
        FileKind::List => "0.0.0.0 ads.example",
    };
    Ok(Source {
        name: name.into(),
        text: text.into(),
    })
}

fn compile(file: &File) -> (Policy, Vec<policy_lang::Warning>) {
    file.compile(&mut load)
        .unwrap_or_else(|errors| panic!("{file}\n{errors:#?}"))
}

fn shown(policy: &Policy) -> Vec<String> {
    let expectations = policy.expectations().iter();
    let expectations = expectations.map(|e| format!("expect {} {} {}", e.action, e.method, e.url));
    let rules = policy.rules().iter().map(|rule| rule.effect.to_string());
    let mut all: Vec<_> = rules.chain(expectations).collect();
    all.sort_unstable();
    all
}

/// What a default for networks is in JSON, where a `blockCIDR` by itself says `open`.
#[test]
fn defaults_for_networks_keep_their_meaning() {
    let rows = [
        ("", "{}", ""),
        (
            "default net open",
            r#"{"blockCIDR":[]}"#,
            "default net open\n",
        ),
        (
            "default net private",
            r#"{"defaultNet":"private"}"#,
            "default net private\n",
        ),
        (
            "block net 8.0.0.0/8",
            r#"{"blockCIDR":["8.0.0.0/8"],"defaultNet":"unset"}"#,
            "block net 8.0.0.0/8\n",
        ),
        (
            "block net 8.0.0.0/8\ndefault net private",
            r#"{"blockCIDR":["8.0.0.0/8"],"defaultNet":"private"}"#,
            "default net private\nblock net 8.0.0.0/8\n",
        ),
        (
            "block net 8.0.0.0/8\ndefault net open",
            r#"{"blockCIDR":["8.0.0.0/8"]}"#,
            "default net open\nblock net 8.0.0.0/8\n",
        ),
    ];
    for (text, network, back) in rows {
        let file = parse(text);
        let converted = Document::from_file(&file).unwrap();
        let json: serde_json::Value = serde_json::from_str(&converted.to_string()).unwrap();
        let found = json.get("network").cloned().unwrap_or_default();
        let expected: serde_json::Value = serde_json::from_str(network).unwrap();
        assert_eq!(
            found.as_object().cloned().unwrap_or_default(),
            *expected.as_object().unwrap(),
            "{text}"
        );
        assert_eq!(converted.to_language(), back, "{text}");
        assert_eq!(
            compile(&file).0.digest(),
            converted.compile().unwrap().0.digest(),
            "{text}"
        );
    }
}

/// A command that blocks or lifts a network first writes down which ones are blocked.
#[test]
fn edits_of_networks_write_the_implied_blocks_down() {
    for text in ["default net private", "block net 8.0.0.0/8", ""] {
        let mut document = Document::from_file(&parse(text)).unwrap();
        document.apply(Edit::BlockCidr(Net::parse("9.0.0.0/8").unwrap()));
        let json = document.to_string();
        assert!(!json.contains("defaultNet"), "{json}");
        for net in ["10.0.0.0/8", "fc00::/7", "9.0.0.0/8"] {
            assert!(json.contains(net), "{text}: {json}");
        }
    }
}

#[test]
fn contradictions_have_no_json() {
    let rows = [
        (
            "default deny\ndefault allow",
            "test:2:1: the default is set twice, and differently",
        ),
        (
            "set a = {}\nset a = {}",
            "test:2:5: set `a` is defined twice",
        ),
    ];
    for (text, expected) in rows {
        let errors = Document::from_file(&parse(text)).unwrap_err();
        assert_eq!(errors.first().unwrap().to_string(), expected);
    }
}

/// Statements without comments, sorted, and the number of comments.
fn content(file: &File) -> (Vec<String>, usize) {
    let text = file.to_string();
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| {
            format!(" {line}")
                .split(" #")
                .next()
                .unwrap()
                .trim()
                .to_owned()
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    (lines, text.matches('#').count())
}

#[test]
fn conversion_loses_nothing() {
    let mut rng = Rng::with_seed(23);
    let mut converted = 0;
    for _ in 0..5_000 {
        let text = random_text(&mut rng);
        let file = parse(&text);
        let Ok(document) = Document::from_file(&file) else {
            continue;
        };
        converted += 1;
        let back = parse(&document.to_language());
        assert_eq!(content(&back), content(&file), "{text}\n---\n{document}");
        let again = Document::from_file(&back).unwrap();
        assert_eq!(again.to_string(), document.to_string(), "{text}");
        assert_eq!(again.to_language(), back.to_string(), "{text}");
        let json = document.compile_with(&mut load).map(|(p, _)| p.digest());
        match (file.compile(&mut load), json) {
            (Ok((policy, _)), Ok(digest)) => assert_eq!(policy.digest(), digest, "{text}"),
            (Err(left), Err(right)) => assert_eq!(left.len(), right.len(), "{text}"),
            (left, right) => panic!("{text}\n{left:?}\n{right:?}"),
        }
    }
    assert!(converted > 3_000, "only {converted}");
}

#[test]
fn both_forms_are_one_policy() {
    let mut rng = Rng::with_seed(13);
    let list = |rng: &mut Rng, items: &[&str]| -> Vec<String> {
        (0..rng.usize(..5))
            .map(|_| (*rng.choice(items).unwrap()).to_owned())
            .collect()
    };
    for _ in 0..1_000 {
        let keys = [
            ("allowedDomains", "allow", list(&mut rng, &HOSTS)),
            ("blockedDomains", "block", list(&mut rng, &HOSTS)),
            ("bypassDomains", "bypass", list(&mut rng, &HOSTS)),
            ("allowCIDR", "allow net", list(&mut rng, &NETS)),
            ("blockCIDR", "block net", list(&mut rng, &NETS)),
            ("bypassCIDR", "bypass net", list(&mut rng, &NETS)),
        ];
        let policy = *rng.choice(&["allow", "deny"]).unwrap();
        let mut lines = vec![format!("default {policy}"), "default net open".to_owned()];
        let mut network = serde_json::Map::new();
        for (key, verb, items) in keys {
            lines.extend(items.iter().map(|item| format!("{verb} {item}")));
            network.insert(key.to_owned(), items.into());
        }
        rng.shuffle(&mut lines);
        let (written, _) = parse(&lines.join("\n")).compile(&mut no_files).unwrap();
        let text = serde_json::json!({"policy": policy, "network": network}).to_string();
        let (document, _) = Document::parse(&text, "json").unwrap();
        let (json, _) = document.compile().unwrap();
        assert_eq!(json.digest(), written.digest(), "{text}");
        let (converted, _) = parse(&document.to_language())
            .compile(&mut no_files)
            .unwrap();
        assert_eq!(json.digest(), converted.digest(), "{text}");
    }
}

/// What is wrong with the keys that are ours, each told with its place and its help.
#[test]
fn slips_in_entries_are_told_at_once() {
    let rows: &[(&str, &[&str])] = &[
        (
            r#"{"defaultNet": "opn"}"#,
            &["1:16 `opn` stands where `private`, `open` or `unset` should | did you mean `open`?"],
        ),
        (
            r#"{"requests": {}}"#,
            &["1:14 `requests` must be a list of objects, not an object | "],
        ),
        (
            r#"{"requests": ["x"]}"#,
            &["1:15 `requests` must be an object, not a string | "],
        ),
        (
            r#"{"requests": [{"action": "alow", "host": "a..b", "methods": ["get"], "path": "x", "why": 1}]}"#,
            &[
                "1:26 `alow` stands where `allow` or `block` should | did you mean `allow`?",
                "1:42 host `a..b` has an empty label | write one dot between labels and none at the start",
                "1:62 `get` is not a method | write `GET`",
                "1:78 path `x` does not start with `/` | write `/` first",
                "1:83 `why` is no field of an entry of `requests` | ",
            ],
        ),
        (
            r#"{"requests": [{"action": "allow", "host": "a.b"}, {"acton": "allow", "host": "a.b", "path": "/"}]}"#,
            &[
                "1:15 `methods` or `path` is missing | ",
                "1:51 `action` is missing | ",
                "1:52 `acton` is no field of an entry of `requests` | did you mean `action`?",
            ],
        ),
        (
            r#"{"requests": [{"action": "allow", "host": "a.b", "methods": []}]}"#,
            &["1:61 `requests.methods` is empty | leave it out if it does not matter"],
        ),
        (
            r#"{"lists": [{"action": "block", "file": ""}]}"#,
            &["1:40 `` is not the name of a file | name a file, relative to the one that names it"],
        ),
        (
            r#"{"limits": [{"host": "a.b", "rate": "x", "burst": 9}]}"#,
            &[
                "1:37 `x` is not a rate | write a number and `/s`, `/m`, `/h` or `/d`, such as `20/s`",
                "1:42 `burst` is no field of an entry of `limits` | ",
            ],
        ),
        (
            r#"{"budgets": [{"host": "a.b", "budget": "5 names"}, {"host": "a.b", "budget": "5MB/d up x"}]}"#,
            &[
                "1:40 `names` is not a budget | write bytes or names for a time, such as `50MB/d` or `20 names/h`",
                "1:78 `x` stands after the end of the statement | put every statement on a line of its own, and comments after ` #`",
            ],
        ),
        (
            r#"{"credentials": [{"host": "a.b", "header": "x-k", "from": {"env": "A", "file": "b"}}]}"#,
            &["1:59 `env`, `file`, `command`, `keyring` or `oauth` is missing | "],
        ),
        (
            r#"{"credentials": [{"host": "a.b", "header": "host", "from": {"env": "A B"}, "as": "x"}]}"#,
            &[
                "1:44 `host` is not the name of a header that can be injected | name a header that carries a credential, such as `authorization`",
                "1:68 `A B` is not the name of a variable | name a variable of the environment, such as `API_KEY`",
                "1:82 format `x` does not have exactly one `%s` | write `%s` where the secret goes, such as `Bearer %s`",
            ],
        ),
        (
            r#"{"sets": {"a b": [], "c": "x", "d": ["e..f"]}}"#,
            &[
                "1:11 `a b` is not a name for a set | use letters, digits, `-` and `_`",
                "1:27 `sets.c` must be a list of strings, not a string | ",
                "1:38 host `e..f` has an empty label | write one dot between labels and none at the start",
            ],
        ),
        (
            r#"{"allowedDomains": ["$no"]}"#,
            &["1:21 set `no` is not defined in this file | define it with `set NAME = { … }`"],
        ),
        (
            r#"{"credentials": [{"host": "*.b", "header": "x-k", "from": {"env": "A"}}]}"#,
            &["1:27 a credential needs one exact host, not `*.b` | write one line for each host"],
        ),
    ];
    for (network, expected) in rows {
        let text = format!("{{\n\"policy\": \"deny\", \"network\":\n{network}}}");
        let errors = match Document::parse(&text, "json") {
            Ok((document, _)) => document.compile().map(|_| ()).unwrap_err(),
            Err(errors) => errors,
        };
        let found: Vec<_> = errors
            .iter()
            .map(|e| {
                let help = e.problem.help().unwrap_or_default();
                format!("{}:{} {} | {help}", e.at.line - 2, e.at.column, e.problem)
            })
            .collect();
        assert_eq!(&found, expected, "{network}");
    }
}
