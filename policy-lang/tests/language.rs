//! The policy language: what it means, how it is written, and what is said about slips.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod generate;

use fastrand::Rng;
use generate::random_text;
use policy_lang::{
    Action, Policy, Target, Warning,
    config::Document,
    language::{File, FileKind, Source},
};
use std::collections::HashMap;

/// DESIGN §6, as it stands there.
const SAMPLE: &str = r#"# team.policy
default deny
set ai = { api.anthropic.com:443, api.openai.com:443 }
allow $ai
allow *.example.org
block evil.example.org
block net 169.254.0.0/16
allow net 10.1.2.0/24                     # lifts a block for these addresses
bypass pinned.example.com
block list "hosts.txt"                    # hosts or one-domain-per-line files, a million lines and more
allow api.github.com:443 GET,HEAD /repos/myorg/**    # method and path, on intercepted traffic
limit *.example.org 20/s burst 40
inject api.anthropic.com x-api-key from env ANTHROPIC_API_KEY
expect allow GET https://api.github.com/repos/myorg/x   # a test, run by `sandbox policy test`
expect deny https://evil.example.org/
"#;

fn files(named: &[(&str, &str)]) -> impl FnMut(FileKind, &str, &str) -> Result<Source, String> {
    let files: HashMap<String, String> = named
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    move |_, name, _| match files.get(name) {
        Some(text) => Ok(Source {
            name: name.into(),
            text: text.clone(),
        }),
        None => Err("no such file".into()),
    }
}

fn parse(text: &str) -> File {
    File::parse(text, "test").unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn compile(text: &str, named: &[(&str, &str)]) -> (Policy, Vec<Warning>) {
    parse(text)
        .compile(&mut files(named))
        .unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn target(text: &str) -> Target {
    Target::parse(text, None).unwrap()
}

#[test]
fn the_sample_means_what_it_says() {
    let (policy, warnings) = compile(SAMPLE, &[("hosts.txt", "0.0.0.0 ads.example.org\n")]);
    assert_eq!(warnings, []);
    assert_eq!(policy.default_action(), Action::Deny);
    let rows = [
        (
            "api.anthropic.com:443",
            "allow api.anthropic.com:443 (test:3:12)",
        ),
        ("www.example.org:80", "allow *.example.org (test:5:1)"),
        ("evil.example.org:443", "block evil.example.org (test:6:1)"),
        (
            "ads.example.org:443",
            "block ads.example.org (hosts.txt:1:9)",
        ),
        (
            "api.github.com:443",
            "allow api.github.com:443 GET,HEAD /repos/myorg/** (test:11:1)",
        ),
    ];
    for (asked, rule) in rows {
        let reason = policy.admit_host(&target(asked)).reason;
        assert_eq!(
            policy.rule_at(reason.rule().unwrap()).unwrap().to_string(),
            rule
        );
    }
    for expectation in policy.expectations() {
        assert_eq!(
            policy.verdict_on(expectation).action,
            expectation.action,
            "{expectation:?}"
        );
    }
    assert_eq!(policy.expectations().len(), 2);
    let limit = policy.limit(&target("a.example.org:80")).unwrap();
    assert_eq!(
        (
            limit.rate.requests,
            limit.rate.per.seconds(),
            limit.rate.burst
        ),
        (20, 1, Some(40))
    );
    let injected: Vec<_> = policy
        .injections(&target("api.anthropic.com:443"))
        .collect();
    assert_eq!(injected.len(), 1);
    assert_eq!(
        policy.injections(&target("api.anthropic.com:80")).count(),
        0
    );
}

#[test]
fn requests_are_judged_by_method_and_path() {
    let (policy, _) = compile(
        "default deny\n\
         allow api.test:443 GET,HEAD /repos/myorg/**\n\
         block api.test:443 /repos/myorg/secret/**\n\
         allow api.test:443 /projects/a%2Fb\n\
         allow open.test\n\
         block open.test DELETE\n\
         block open.test /admin/**\n\
         allow open.test GET /admin/health\n\
         allow plain.test\n",
        &[],
    );
    let rows = [
        ("api.test:443", "GET", "/repos/myorg/x", true),
        ("api.test:443", "GET", "/repos/myorg/x?a=/../..", true),
        ("api.test:443", "POST", "/repos/myorg/x", false),
        ("api.test:443", "GET", "/repos/other/x", false),
        ("api.test:443", "GET", "/repos/myorg", false),
        ("api.test:443", "GET", "/repos/myorg/secret/x", false),
        ("api.test:443", "GET", "/repos/myorg/%73ecret/x", false),
        ("api.test:443", "GET", "/repos//myorg/./x", true),
        ("api.test:443", "GET", "/repos/myorg/../other/x", false),
        ("api.test:443", "GET", "/repos/other/%2e%2e/myorg/x", true),
        // A server that takes %2F for a slash would serve another repository.
        (
            "api.test:443",
            "GET",
            "/repos/myorg/x%2f..%2f..%2fother",
            false,
        ),
        ("api.test:443", "GET", "/repos/other/..%2fmyorg/x", false),
        ("api.test:443", "GET", "/repos/myorg/a%2fb", true),
        ("api.test:443", "GET", "/repos/myorg/..;/other/x", false),
        // Spelled out in the rule, both readings are meant.
        ("api.test:443", "PUT", "/projects/a%2fb", true),
        ("api.test:443", "PUT", "/projects/a/b", false),
        ("api.test:443", "GET", "/%00", false),
        ("api.test:443", "GET", "*", false),
        ("open.test:80", "GET", "/x", true),
        ("open.test:80", "DELETE", "/x", false),
        ("open.test:80", "GET", "/admin/x", false),
        ("open.test:80", "GET", "//admin/x", false),
        ("open.test:80", "GET", "/x/../admin/x", false),
        ("open.test:80", "GET", "/admin%2fx", false),
        ("open.test:80", "GET", "/admin;v=1/x", false),
        ("open.test:80", "GET", "/admin/health", true),
        ("open.test:80", "POST", "/admin/health", false),
        ("closed.test:80", "GET", "/", false),
    ];
    for (asked, method, path, expected) in rows {
        let verdict = policy.admit_request(&target(asked), method, path);
        assert_eq!(
            verdict.action.is_allow(),
            expected,
            "{asked} {method} {path}"
        );
    }
    // The host phase asks whether any request might pass, and says where each must be asked about.
    for (asked, expected) in [
        ("api.test:443", true),
        ("open.test:80", true),
        ("plain.test:80", false),
    ] {
        let host = policy.admit_host(&target(asked));
        assert!(
            host.action.is_allow() && host.by_request == expected,
            "{asked}"
        );
    }
    assert!(!policy.admit_host(&target("api.test:80")).action.is_allow());
}

#[test]
fn an_explanation_reads_well() {
    let (policy, _) = compile(
        "default deny\n\
         allow api.test:443 GET /repos/**\n\
         block *.test\n\
         allow test\n\
         block net 203.0.113.0/24\n\
         limit api.test 5/m\n\
         inject api.test x-key from env X\n",
        &[],
    );
    let addrs = ["198.51.100.1", "203.0.113.9", "64:ff9b::10.0.0.1"].map(|a| a.parse().unwrap());
    let asked = target("api.test:443");
    let explained = policy.explain_request(
        &asked,
        ("GET", "/x/../repos/a?b"),
        &addrs,
        &Default::default(),
    );
    let expected = "allow api.test:443
host: allow: rule `allow api.test:443 GET /repos/**` (test:2:1)
  allow api.test:443 GET /repos/** (test:2:1)  decides
  block *.test (test:3:1)                      loses: less specific
  allow test (test:4:1)                        does not match: an exact name does not cover its subdomains
address 198.51.100.1: allow: rule `allow api.test:443 GET /repos/**` (test:2:1) names the host exactly
  carriage: intercepted
address 203.0.113.9: allow: rule `allow api.test:443 GET /repos/**` (test:2:1) names the host exactly
  block net 203.0.113.0/24 (test:5:1)  does not count here
  carriage: intercepted
address 64:ff9b::a00:1: allow: rule `allow api.test:443 GET /repos/**` (test:2:1) names the host exactly
  block net 10.0.0.0/8 (built in)  does not count here
  carriage: intercepted
request `GET` `/repos/a`: allow: rule `allow api.test:443 GET /repos/**` (test:2:1)
  allow api.test:443 GET /repos/** (test:2:1)  decides
  block *.test (test:3:1)                      loses: less specific
limited by limit api.test 5/m (test:6:1)
credential: header x-key from env X (test:7:1)
policy ";
    let shown = explained.to_string();
    let (shown, digest) = shown.split_at(shown.len() - 65);
    assert_eq!(shown, expected);
    assert_eq!(digest.trim_end(), policy.digest().to_string());
    let denied = policy.explain_request(&asked, ("PUT", "/%zz"), &[], &Default::default());
    assert_eq!(denied.action, Action::Deny);
    assert!(
        denied.to_string().contains("its path is malformed"),
        "{denied}"
    );
    let json = serde_json::to_value(&explained).unwrap();
    assert_eq!(json["request"]["path"], "/repos/a");
    assert_eq!(json["candidates"][1]["outcome"], "less-specific");
}

#[test]
fn a_request_rule_is_read_even_where_its_address_is_bypassed() {
    use policy_lang::Carriage;
    let text = "default deny\nallow a.test GET /x\nallow b.test\nbypass net 0.0.0.0/0\n";
    let (policy, _) = compile(text, &[]);
    let addr = "203.0.113.1".parse().unwrap();
    assert_eq!(
        policy.carriage(&target("a.test:443"), addr),
        Carriage::Intercept
    );
    assert_ne!(
        policy.carriage(&target("b.test:443"), addr),
        Carriage::Intercept
    );
}

#[test]
fn documented_private_networks_are_blocked_unless_opened() {
    let rows = [
        ("", false),
        ("default net private\n", false),
        ("default net open\n", true),
    ];
    for (line, open) in rows {
        let (policy, _) = compile(&format!("default allow\n{line}"), &[]);
        let asked = target("a.test:80");
        let host = policy.admit_host(&asked);
        let addr = "10.0.0.1".parse().unwrap();
        let verdict = policy.admit_addr(&asked, &host, addr, &Default::default());
        assert_eq!(verdict.action.is_allow(), open, "{line}");
    }
}

/// Every slip at once, each with its place and its help.
#[test]
fn all_errors_are_reported_with_place_and_help() {
    let rows: &[(&str, &[&str])] = &[
        (
            "alow a.test",
            &["1:1+4 `alow` starts no statement | did you mean `allow`?"],
        ),
        (
            "permit a.test",
            &[
                "1:1+6 `permit` starts no statement | a line starts with `allow`, `block`, `bypass`, `default`, `set`, `include`, `limit`, `budget`, `inject` or `expect`",
            ],
        ),
        (
            "allow",
            &["1:6+0 a host, `net`, `list` or `$set` is missing | "],
        ),
        (
            "allow  # why",
            &["1:8+0 a host, `net`, `list` or `$set` is missing | "],
        ),
        (
            "allow a..test",
            &[
                "1:7+7 host `a..test` has an empty label | write one dot between labels and none at the start",
            ],
        ),
        (
            "allow https://a.test/x",
            &[
                "1:7+16 `https://a.test/x` is a URL or has a path | write the host and, if wanted, a port, such as `example.com:443`",
            ],
        ),
        (
            "allow 10.0.0.0/8",
            &[
                "1:7+10 `10.0.0.0/8` is a network, not a host | put it into a rule about networks (CIDR)",
            ],
        ),
        ("allow net 10.0.0.0", &[]),
        (
            "allow net 10.0.0.0/40",
            &[
                "1:11+11 `10.0.0.0/40` is not a network in CIDR notation | write an address and a prefix length, such as `10.0.0.0/8` or `fc00::/7`",
            ],
        ),
        (
            "allow net",
            &["1:10+0 a network such as `10.0.0.0/8` is missing | "],
        ),
        (
            "allow net 10.0.0.0/8 GET",
            &[
                "1:22+3 methods and paths belong to rules about hosts that allow or block | write the host instead of the network, list or bypass",
            ],
        ),
        (
            "bypass a.test /x",
            &[
                "1:15+2 methods and paths belong to rules about hosts that allow or block | write the host instead of the network, list or bypass",
            ],
        ),
        (
            "allow a.test get /x",
            &["1:14+3 `get` is not a method | write `GET`"],
        ),
        (
            "allow a.test GET x",
            &["1:18+1 path `x` does not start with `/` | write `/` first"],
        ),
        (
            "allow a.test /a/../b",
            &["1:14+7 path `/a/../b` is not in canonical form | write `/b`"],
        ),
        (
            "allow a.test GET /a b",
            &[
                "1:21+1 `b` stands after the end of the statement | put every statement on a line of its own, and comments after ` #`",
            ],
        ),
        (
            "allow a.test, b.test",
            &[
                "1:7+7 label `test,` has more than letters, digits and inner hyphens | write the host name alone, such as `example.com`",
            ],
        ),
        (
            "default maybe",
            &["1:9+5 `maybe` stands where `allow` or `deny` should | "],
        ),
        (
            "default block",
            &["1:9+5 `block` stands where `allow` or `deny` should | did you mean `deny`?"],
        ),
        (
            "default net opn",
            &["1:13+3 `opn` stands where `private` or `open` should | did you mean `open`?"],
        ),
        ("set = { a }", &["1:5+0 the name of the set is missing | "]),
        (
            "set a! = { a }",
            &["1:5+2 `a!` is not a name for a set | use letters, digits, `-` and `_`"],
        ),
        ("set a { a }", &["1:7+0 `=` is missing | "]),
        (
            "set a = a",
            &[
                "1:9+0 `{` is missing | write the members in braces, such as `{ a.example b.example }`",
            ],
        ),
        (
            "set a = { b.test",
            &["1:9+1 the set is not closed | end it with `}`"],
        ),
        (
            "set a = { b..test, ok.test,\n c:0 }\nallow $a",
            &[
                "1:11+7 host `b..test` has an empty label | write one dot between labels and none at the start",
                "2:2+3 port `0` is out of range | use 1 to 65535 in plain decimal digits",
            ],
        ),
        (
            "block list hosts.txt",
            &["1:12+9 `hosts.txt` stands where the name of a file in quotes should | "],
        ),
        (
            "include \"a",
            &["1:9+0 the string is not closed | end it with `\"` on the same line"],
        ),
        (
            "limit a.test 20",
            &[
                "1:14+2 `20` is not a rate | write a number and `/s`, `/m`, `/h` or `/d`, such as `20/s`",
            ],
        ),
        (
            "limit a.test 0/s",
            &[
                "1:14+3 `0/s` is not a rate | write a number and `/s`, `/m`, `/h` or `/d`, such as `20/s`",
            ],
        ),
        (
            "limit a.test 5/s brust 9",
            &["1:18+5 `brust` stands where `burst` should | did you mean `burst`?"],
        ),
        (
            "limit a.test 5/s burst x",
            &["1:24+1 `x` stands where a number above zero should | "],
        ),
        (
            "budget a.test 5XB/d",
            &[
                "1:15+5 `5XB/d` is not a budget | write bytes or names for a time, such as `50MB/d` or `20 names/h`",
            ],
        ),
        (
            "budget *.a.test 20 subdomains/h",
            &[
                "1:20+12 `subdomains/h` is not a budget | write bytes or names for a time, such as `50MB/d` or `20 names/h`",
            ],
        ),
        (
            "inject a.test query \"a b\" from env X",
            &[
                "1:21+5 `a b` is not the name of a parameter | use letters, digits, `-`, `.`, `_` and `~`",
            ],
        ),
        (
            "inject a.test x-key from env X as \"%s\" as \"%s\"",
            &["1:40+2 `as` is there twice | keep one"],
        ),
        (
            "inject a.test host from env X",
            &[
                "1:15+4 `host` is not the name of a header that can be injected | name a header that carries a credential, such as `authorization`",
            ],
        ),
        (
            "inject a.test x-key form env X",
            &["1:21+4 `form` stands where `from` should | did you mean `from`?"],
        ),
        (
            "inject a.test x-key from evn X",
            &[
                "1:26+3 `evn` stands where `env`, `file`, `command`, `keyring` or `oauth` should | did you mean `env`?",
            ],
        ),
        (
            "inject a.test x-key from env X as \"y\"",
            &[
                "1:35+3 format `y` does not have exactly one `%s` | write `%s` where the secret goes, such as `Bearer %s`",
            ],
        ),
        (
            "expect allow a.test",
            &[
                "1:14+6 `a.test` is not a method | write methods such as `GET,HEAD`, and paths with `/` first",
            ],
        ),
        (
            "expect deny ftp://a.test/",
            &[
                "1:13+13 `ftp://a.test/` is not an `http://` or `https://` URL | only HTTP and HTTPS go through the proxy",
            ],
        ),
        (
            "default deny\nalow a.test\n\nblock b..test # why\nallow c.test\nlimit d.test fast\n",
            &[
                "2:1+4 `alow` starts no statement | did you mean `allow`?",
                "4:7+7 host `b..test` has an empty label | write one dot between labels and none at the start",
                "6:14+4 `fast` is not a rate | write a number and `/s`, `/m`, `/h` or `/d`, such as `20/s`",
            ],
        ),
        // Found when files are put together.
        (
            "allow $api\nset apis = { a.test }\nblock $apis",
            &["1:7+4 set `api` is not defined in this file | did you mean `$apis`?"],
        ),
        (
            "allow $nothing",
            &[
                "1:7+8 set `nothing` is not defined in this file | define it with `set NAME = { … }`",
            ],
        ),
        (
            "set a = { b.test }\nset a = { c.test }\nallow $a",
            &["2:5+1 set `a` is defined twice | it is defined first at 1:5; keep one"],
        ),
        (
            "default deny\ndefault allow",
            &[
                "2:1+13 the default is set twice, and differently | the other one is at test:1:1; keep one",
            ],
        ),
        ("default deny\ndefault deny", &[]),
        (
            "include \"gone\"",
            &[
                "1:1+4 file `gone` cannot be read: no such file | check the name; it is relative to the file that names it",
            ],
        ),
        (
            "block list \"gone\"",
            &[
                "1:11+7 file `gone` cannot be read: no such file | check the name; it is relative to the file that names it",
            ],
        ),
        (
            "include \"self\"",
            &["1:1+4 file `self` includes itself | remove one of the includes"],
        ),
        (
            "include \"bad\"",
            &["bad:1:1+3 `alw` starts no statement | did you mean `allow`?"],
        ),
        (
            "allow a.test GET /x\nbypass *.test",
            &[
                "1:1+0 methods and paths of `a.test` cannot be seen, because it is bypassed | the bypass is at test:2:1; remove one of the two",
            ],
        ),
        ("allow a.test:443 GET /x\nbypass a.test:80", &[]),
        (
            "inject a.test x-key from env X\nbypass a.test",
            &[
                "1:1+0 no credential can be injected for `a.test:443`, because it is bypassed | the bypass is at test:2:1; remove one of the two",
            ],
        ),
        (
            "inject *.a.test x-key from env X",
            &[
                "1:8+8 a credential needs one exact host, not `*.a.test` | write one line for each host",
            ],
        ),
        (
            "inject a.test:80 x-key from env X",
            &[
                "1:8+9 a credential for `a.test:80` would be sent over plain HTTP | leave the port out, or write that of HTTPS",
            ],
        ),
    ];
    for (text, expected) in rows {
        let named = [("self", "include \"self\""), ("bad", "alw a.test")];
        let compiled = File::parse(text, "test").and_then(|file| file.compile(&mut files(&named)));
        let errors = compiled.err().unwrap_or_default();
        let found: Vec<_> = errors
            .iter()
            .map(|error| {
                let file = if &*error.source_name == "test" {
                    ""
                } else {
                    "bad:"
                };
                let file = if &*error.source_name == "self" {
                    ""
                } else {
                    file
                };
                let help = error.help().unwrap_or_default();
                format!(
                    "{file}{}+{} {} | {help}",
                    error.at, error.chars, error.problem
                )
            })
            .collect();
        assert_eq!(&found, expected, "{text}");
    }
}

#[test]
fn a_slip_hides_no_other_error() {
    let text = "\
default deny
alow a.test
default allow
set s = a.test
set t = { a.test }
set t = { b.test }
allow $s
bypass p.test
allow p.test GET /x/**
inject *.q.test x-key from env K
include \"later\"
";
    let errors = File::parse(text, "test").unwrap_err();
    let found: Vec<_> = errors
        .iter()
        .map(|error| format!("{} {}", error.at, error.problem))
        .collect();
    let expected = [
        "2:1 `alow` starts no statement",
        "3:1 the default is set twice, and differently",
        "4:9 `{` is missing",
        "6:5 set `t` is defined twice",
        "9:1 methods and paths of `p.test` cannot be seen, because it is bypassed",
        "10:8 a credential needs one exact host, not `*.q.test`",
    ];
    assert_eq!(found, expected);
    let help = errors.get(2).and_then(|error| error.help());
    assert!(help.unwrap().starts_with("write the members in braces"));
}

#[test]
fn an_error_is_shown_with_its_line() {
    let text = "default deny\nallow ä..test  # x\n";
    let errors = File::parse(text, "team.policy").unwrap_err();
    let expected = "error: host `ä..test` has an empty label
 --> team.policy:2:7
2 | allow ä..test  # x
  |       ^^^^^^^
  = help: write one dot between labels and none at the start
";
    assert_eq!(errors.first().unwrap().render(text), expected);
}

#[test]
fn formatting_keeps_what_people_wrote() {
    let rows = [
        ("", ""),
        ("\n\n\n", ""),
        (
            "  allow   a.TEST.:443   GET,GET,ABC  /x   #why  \r\n",
            "allow a.test:443 ABC,GET /x # why\n",
        ),
        ("\n\n# one\n\n\n\n#two\n#\n\n", "# one\n\n# two\n#\n"),
        (
            "set a={b.test c.test,d.test}",
            "set a = { b.test, c.test, d.test }\n",
        ),
        ("set a = {}", "set a = {}\n"),
        (
            "set a = { # first\n b.test, # of b\n\n # before c\n c.test\n # last\n } # after",
            "set a = {\n  # first\n  b.test, # of b\n  # before c\n  c.test,\n  # last\n} # after\n",
        ),
        ("allow net 10.1.2.3/8", "allow net 10.0.0.0/8\n"),
        ("allow net. \nblock list.", "allow net.\nblock list.\n"),
        ("allow bücher.test", "allow xn--bcher-kva.test\n"),
        ("include \"a \\\"b\\\\\"", "include \"a \\\"b\\\\\"\n"),
        (
            "inject a.test X-Key from file \"/x y\" as \"Bearer %s\"",
            "inject a.test x-key from file \"/x y\" as \"Bearer %s\"\n",
        ),
        (
            "inject a.test query from oauth \"f\" budget 2000KB/h up limit 9/d burst 2 on /a/** # x",
            "inject a.test query from oauth \"f\" on /a/** limit 9/d burst 2 budget 2MB/h up # x\n",
        ),
        (
            "inject a.test query \"key\" from keyring \"k\"",
            "inject a.test query \"key\" from keyring \"k\"\n",
        ),
        (
            "budget *.a.test 20 names/h\nbudget a.test 1024KiB/d down\nbudget a.test 1500B/m",
            "budget *.a.test 20 names/h\nbudget a.test 1MiB/d down\nbudget a.test 1500B/m\n",
        ),
        (
            "expect deny https://a.test/#x # y",
            "expect deny https://a.test/#x # y\n",
        ),
        ("default  net   open", "default net open\n"),
    ];
    for (text, expected) in rows {
        let printed = parse(text).to_string();
        assert_eq!(printed, expected, "{text:?}");
        assert_eq!(
            parse(&printed).to_string(),
            printed,
            "fmt is idempotent: {text:?}"
        );
    }
}

#[test]
fn lists_are_rules_with_their_own_lines() {
    let list = "a.test\nnot a pattern_\n0.0.0.0 b.test\n||c.test^\n";
    let (policy, warnings) = compile("default allow\nblock list \"l\"", &[("l", list)]);
    let rows = [
        ("a.test:1", false),
        ("x.a.test:1", true),
        ("b.test:1", false),
        ("x.c.test:1", false),
        ("c.test:1", false),
    ];
    for (asked, allowed) in rows {
        assert_eq!(
            policy.admit_host(&target(asked)).action.is_allow(),
            allowed,
            "{asked}"
        );
    }
    let shown: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["l:2:7: warning: `pattern_` is not a host pattern and has no effect"]
    );
}

#[test]
fn an_include_counts_once_and_json_may_include() {
    let named = [("a", "allow a.test\ninclude \"b\""), ("b", "allow b.test")];
    let text =
        r#"{"policy": "deny", "network": {"allowedDomains": ["c.test"]}, "include": ["a", "b"]}"#;
    let (document, _) = Document::parse(text, "json").unwrap();
    let (policy, _) = document.compile_with(&mut files(&named)).unwrap();
    let written = policy
        .rules()
        .iter()
        .filter(|rule| rule.origin.line().is_some());
    let shown: Vec<_> = written.map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "allow c.test (json:1:51)",
            "allow a.test (a:1:1)",
            "allow b.test (b:1:1)"
        ]
    );
    // Without a loader an include is an error, not silence.
    let errors = document.compile().unwrap_err();
    assert_eq!(
        errors.first().unwrap().to_string(),
        "json:1:75: file `a` cannot be read: files cannot be included here"
    );
    assert_eq!(errors.len(), 2);
    let named = [("a", "default allow"), ("b", "")];
    let errors = document.compile_with(&mut files(&named)).unwrap_err();
    assert_eq!(
        errors.first().unwrap().to_string(),
        "a:1:1: the default is set twice, and differently"
    );
}

#[test]
fn lints_name_what_was_hardly_meant() {
    let rows: &[(&str, &[&str])] = &[
        (
            "default deny\nallow a.test\nblock b.a.test",
            &["3:1 has no effect: the default says the same"],
        ),
        (
            "default deny\nallow *.a.test\nblock b.a.test\nallow c.b.a.test",
            &[],
        ),
        (
            "default deny\nallow *.b.a.test:443\nallow *.a.test",
            &["2:1 has no effect beside the wider rule `allow *.a.test (test:3:1)`"],
        ),
        ("default deny\nallow *.b.a.test\nallow *.a.test:443", &[]),
        (
            "default deny\nallow *.c.b.a.test\nblock *.b.a.test\nallow *.a.test",
            &[],
        ),
        (
            "default deny\nallow *.c.b.a.test\nblock *.b.a.test:80\nallow *.a.test",
            &[],
        ),
        ("default deny\nallow x.a.test\nallow *.a.test", &[]),
        (
            "default allow\nallow *.a.test\nallow b.test",
            &["2:1 has no effect: the default says the same"],
        ),
        (
            "default allow\nblock a.test\nblock a.test:80",
            &["3:1 has no effect beside the wider rule `block a.test (test:2:1)`"],
        ),
        (
            "default deny\nallow a.test\nblock A.test",
            &["2:1 `a.test` is both allowed and blocked; the block wins"],
        ),
        (
            "default deny\nallow a.test\nallow a.test.",
            &["3:1 the same stands at test:2:1"],
        ),
        (
            "default deny\nallow *",
            &["2:1 `*` allows every host, so the default deny has little effect"],
        ),
        (
            "default deny\nallow *.com\nallow *.co.uk\nallow *.github.io:443\nallow *.example.com.au",
            &[
                "2:1 `*.com` covers a whole top-level domain",
                "3:1 `*.co.uk` covers everything below the public suffix `co.uk`",
                "4:1 `*.github.io:443` covers everything below the public suffix `github.io`",
            ],
        ),
        ("default allow\nblock *", &[]),
        (
            "default deny\nallow a.test GET /x\nblock a.test DELETE",
            &[],
        ),
        (
            "default allow\nallow net 10.1.0.0/16\nallow net 8.8.8.0/24",
            &["3:1 lifts no block: no blocked network overlaps it"],
        ),
        (
            "default deny\nallow *.a.test\nbypass b.a.test\nbypass c.test",
            &["4:1 bypasses what no rule allows; a bypass grants nothing"],
        ),
        ("default allow\nbypass c.test", &[]),
        (
            "default allow\nbypass *.co.uk\nblock *.co.uk",
            &["2:1 `*.co.uk` covers everything below the public suffix `co.uk`"],
        ),
        (
            "default deny\nallow a.test\nallow a.test GET /x",
            &["3:1 has no effect beside the wider rule `allow a.test (test:2:1)`"],
        ),
        ("default deny\nallow *.b.test\nallow a.b.test GET /x", &[]),
        (
            "default deny\nblock a.test DELETE",
            &["2:1 has no effect: the default says the same"],
        ),
        ("default deny\nallow a.test GET\nblock a.test /x", &[]),
        (
            "default allow\nblock a.test:80-81\nallow a.test:80\nallow a.test:81",
            &["2:1 never decides: narrower rules for `a.test` cover all its ports"],
        ),
        (
            "default allow\nblock a.test:80-82\nallow a.test:80\nallow a.test:82",
            &[],
        ),
        (
            "default allow\nallow net 127.0.0.0/8\nallow net 169.254.169.254/32\nallow net 169.254.0.0/16",
            &[
                "2:1 network `127.0.0.0/8` is lifted in vain: this machine is reached only by a rule that names host and port",
                "3:1 network `169.254.169.254/32` is lifted in vain: cloud metadata is reached only by a rule that is the address itself",
            ],
        ),
        (
            "default deny\nallow a.test\nallow net 10.0.0.0/8",
            &["3:1 network `10.0.0.0/8` is lifted in vain: no name that is allowed can lead there"],
        ),
        ("default deny\nallow *.a.test\nallow net 10.0.0.0/8", &[]),
    ];
    for (text, expected) in rows {
        let (policy, _) = compile(text, &[]);
        let warnings = policy.lint();
        for warning in &warnings {
            assert!(warning.kind.help().is_some(), "{warning}");
        }
        let found: Vec<_> = warnings
            .iter()
            .map(|w| format!("{} {}", w.at, w.kind))
            .collect();
        assert_eq!(&found, expected, "{text}");
    }
}

/// A rule that the linter calls idle can go without changing any verdict on hosts.
#[test]
fn idle_rules_can_go() {
    let mut rng = Rng::with_seed(17);
    let hosts = ["a.t", "b.a.t", "c.b.a.t", "1.2.3.4"];
    let patterns = [
        "a.t",
        "*.a.t",
        "*.a.t:80",
        "b.a.t",
        "b.a.t:80",
        "*.b.a.t",
        "*.t:80-90",
        "*",
        "*:80",
        "1.2.3.4",
    ];
    let mut idle = 0;
    for _ in 0..2_000 {
        let default = *rng.choice(&["default allow", "default deny"]).unwrap();
        let mut lines = vec![default.to_owned()];
        for _ in 0..rng.usize(1..7) {
            lines.push(format!(
                "{} {}",
                rng.choice(&["allow", "block"]).unwrap(),
                rng.choice(&patterns).unwrap()
            ));
        }
        let (policy, _) = compile(&lines.join("\n"), &[]);
        for warning in policy
            .lint()
            .iter()
            .filter(|w| w.kind.to_string().starts_with("has no effect"))
        {
            idle += 1;
            let mut fewer = lines.clone();
            fewer.remove(warning.at.line as usize - 1);
            let (fewer, _) = compile(&fewer.join("\n"), &[]);
            for (host, port) in hosts
                .iter()
                .flat_map(|host| [80, 81, 443].map(|port| (host, port)))
            {
                let asked = target(&format!("{host}:{port}"));
                let actions = [&policy, &fewer].map(|policy| policy.admit_host(&asked).action);
                assert_eq!(actions[0], actions[1], "{asked}: {warning} in {lines:#?}");
            }
        }
    }
    assert!(idle > 500, "only {idle} idle rules were made");
}

#[test]
fn printing_and_parsing_are_inverse() {
    let mut rng = Rng::with_seed(7);
    for _ in 0..5_000 {
        let text = random_text(&mut rng);
        let file = parse(&text);
        let printed = file.to_string();
        assert!(parse(&printed) == file, "{text}\n---\n{printed}");
        assert_eq!(parse(&printed).to_string(), printed, "{text}");
    }
}

#[test]
fn no_text_makes_the_parser_panic_or_point_outside() {
    let mut rng = Rng::with_seed(11);
    for _ in 0..5_000 {
        let mut text = random_text(&mut rng) + SAMPLE;
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..=text.len());
            if text.is_char_boundary(at) {
                text.insert_str(
                    at,
                    rng.choice(&[
                        "\"", "{", "}", "#", "\r", "\n", "é", "$", ",", "\0", "=", "/",
                    ])
                    .unwrap(),
                );
            }
        }
        for error in File::parse(&text, "test").err().unwrap_or_default() {
            let line = text.split('\n').nth(error.at.line as usize - 1).unwrap();
            let chars = line.chars().count();
            assert!(error.at.column as usize <= chars + 1, "{error} in {text}");
            assert!(!error.render(&text).is_empty());
        }
    }
}
