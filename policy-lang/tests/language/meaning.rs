//! What a policy means.

use policy_lang::Action;
use policy_lang::config::Document;

use crate::{SAMPLE, compile, files, target};

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
         allow plain.test\n\
         allow *.wide.test\n\
         block api.wide.test POST /b/**\n",
        &[],
    );
    let rows = [
        ("api.test:443", "GET", "/repos/myorg/x", true),
        // Some requests are blocked by the name, all others allowed by a wildcard.
        ("api.wide.test:80", "POST", "/b/1", false),
        ("api.wide.test:80", "GET", "/b/1", true),
        ("www.wide.test:80", "POST", "/b/1", true),
        ("api.test:443", "GET", "/repos/myorg/x?a=/../..", true),
        ("api.test:443", "POST", "/repos/myorg/x", false),
        ("api.test:443", "GET", "/repos/other/x", false),
        ("api.test:443", "GET", "/repos/myorg", false),
        ("api.test:443", "GET", "/repos/myorg/secret/x", false),
        ("api.test:443", "GET", "/repos/myorg/%73ecret/x", false),
        ("api.test:443", "GET", "/repos//myorg/./x", false),
        ("api.test:443", "GET", "/repos/myorg/../other/x", false),
        ("api.test:443", "GET", "/repos/other/%2e%2e/myorg/x", false),
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
        // Many servers read methods in upper case.
        ("open.test:80", "delete", "/x", false),
        ("open.test:80", "Get", "/x", false),
        ("open.test:80", "M-SEARCH", "/x", true),
        ("open.test:80", "GET", "/admin/x", false),
        ("open.test:80", "GET", "//admin/x", false),
        ("open.test:80", "GET", "/x/../admin/x", false),
        ("open.test:80", "GET", "/admin%2fx", false),
        ("open.test:80", "GET", "/admin;v=1/x", false),
        ("open.test:80", "GET", "/admin/health", true),
        // A server that does not resolve serves what stands there.
        ("api.test:443", "GET", "/x/../repos/myorg/x", false),
        ("api.test:443", "GET", "/x/%2e%2e/repos/myorg/x", false),
        ("api.test:443", "GET", "/repos/myorg/../myorg/x", true),
        ("api.test:443", "GET", "/repos/myorg/x/./y", true),
        ("api.test:443", "GET", "//repos/myorg/x", false),
        ("api.test:443", "GET", "/repos/myorg//x", true),
        ("api.test:443", "GET", "/repos/myorg//../myorg/x", false),
        ("api.test:443", "GET", "/repos/myorg/a;b%2fc", true),
        ("open.test:80", "GET", "/admin/x/../../ok", false),
        ("open.test:80", "GET", "/admin/%2e%2E/ok", false),
        ("open.test:80", "GET", "/ok/../ok", true),
        ("open.test:80", "GET", "/admin//health", false),
        ("open.test:80", "GET", "/admin;x%2Fok", false),
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

/// A request may go where the rule opens that allowed it, and not where another rule about its host does.
#[test]
fn each_request_is_held_to_its_own_rule() {
    let exact = "allow a.test:80 GET /open/**\nallow 169.254.169.254:80 GET /open/**\n";
    let host = "allow a.test GET /host\n";
    let (this, lan, public) = ("127.0.0.1", "10.0.0.1", "198.51.100.1");
    let rows = [
        ("default allow\n", "/open/x", this, "explicit"),
        ("default allow\n", "/x", this, "this-machine"),
        ("default allow\n", "/x", lan, "block-cidr"),
        ("default allow\n", "/x", public, "unblocked"),
        ("default allow\n", "/host", this, "this-machine"),
        ("default allow\n", "/host", lan, "explicit"),
        ("allow *\n", "/x", this, "this-machine"),
        ("allow *.test\n", "/open/x", lan, "explicit"),
        ("allow *.test\n", "/x", lan, "block-cidr"),
        ("allow *.test\n", "/x", "169.254.169.254", "metadata"),
        ("allow *.test:80\n", "/x", this, "this-machine"),
        ("allow a.test\n", "/x", this, "this-machine"),
        ("allow a.test\n", "/x", lan, "explicit"),
        ("allow a.test:80\n", "/x", this, "explicit"),
        // Of two readings the rule that opens less: the second is allowed by default only.
        ("default allow\n", "/open/a;b", this, "explicit"),
        ("default allow\n", "/open;a/x", this, "this-machine"),
        ("default allow\n", "/open%2Fx", this, "this-machine"),
    ];
    for (others, path, addr, reason) in rows {
        let (policy, _) = compile(&format!("{others}{exact}{host}"), &[]);
        let (asked, addr) = (target("a.test:80"), addr.parse().unwrap());
        let verdict = policy.admit_request(&asked, "GET", path);
        let judged = policy.admit_addr(&asked, verdict, addr, &Default::default());
        assert_eq!(judged.reason.code(), reason, "{others} {path} {addr}");
        let explained = policy.explain_request(&asked, ("GET", path), &[addr], &Default::default());
        assert_eq!(explained.addresses[0].reason, reason, "{explained}");
        assert_eq!(explained.action, judged.action, "{explained}");
    }
    let (policy, _) = compile(&format!("default allow\n{exact}"), &[]);
    let asked = target("169.254.169.254:80");
    for (path, reason) in [("/open/x", "explicit"), ("/x", "metadata")] {
        let addr = "169.254.169.254".parse().unwrap();
        let verdict = policy.admit_request(&asked, "GET", path);
        let judged = policy.admit_addr(&asked, verdict, addr, &Default::default());
        assert_eq!(judged.reason.code(), reason, "{path}");
    }
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
    let explained =
        policy.explain_request(&asked, ("GET", "/repos/%61?b"), &addrs, &Default::default());
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
        let verdict = policy.admit_addr(&asked, host, addr, &Default::default());
        assert_eq!(verdict.action.is_allow(), open, "{line}");
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
fn a_denial_can_name_an_allowed_host_that_was_meant() {
    let text = "default deny\nallow api.github.com:443\nallow *.example.org\nallow a.test\nblock evil.example.net\nallow www.example.net";
    let (policy, _) = compile(text, &[]);
    let rows = [
        // A slip or two of the finger, in names long enough to tell.
        ("api.githb.com", Some("api.github.com:443")),
        ("spi.gthub.com", Some("api.github.com:443")),
        ("xpi.gthb.com", None),
        ("b.test", None),
        // Above or below what is allowed; what is blocked is not what was meant.
        ("example.org", Some("*.example.org")),
        ("api.www.example.net", Some("www.example.net")),
        ("evil.example.com", None),
        ("192.0.2.1", None),
        ("nothing.test", None),
    ];
    for (asked, expected) in rows {
        let target = target(&format!("{asked}:80"));
        let nearest = policy.nearest_allowed(target.host());
        assert_eq!(nearest.as_deref(), expected, "{asked}");
    }
}
