//! What is said about a text that is no policy.

use fastrand::Rng;
use policy_lang::language::File;

use crate::generate::random_text;
use crate::{SAMPLE, files};

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
        (
            "set $a = { a }",
            &["1:5+2 `$a` is not a name for a set | write `a` here, and `$a` where it is used"],
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
