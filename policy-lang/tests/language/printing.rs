//! How a policy is written.

use fastrand::Rng;

use crate::generate::random_text;
use crate::parse;

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
