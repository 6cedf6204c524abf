//! What is said about admitted traffic beyond yes and no.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions, but not in their helpers"
)]

use policy_lang::language::{File, no_files};
use policy_lang::{LocalAddrs, Policy, Target};

fn policy(text: &str) -> Policy {
    let file = File::parse(text, "test").unwrap();
    file.compile(&mut no_files).unwrap().0
}

fn target(text: &str) -> Target {
    Target::parse(text, None).unwrap()
}

#[test]
fn the_most_specific_budget_of_each_kind_counts() {
    let policy = policy(
        "default allow\n\
         budget * 1GB/d\n\
         budget * 5MB/d up\n\
         budget *.example.org 20 names/h\n\
         budget *.example.org 10MB/h\n\
         budget a.example.org 1MB/h\n",
    );
    let rows: [(&str, &[&str]); 3] = [
        (
            "a.example.org:443",
            &[
                "budget a.example.org 1MB/h",
                "budget *.example.org 20 names/h",
                "budget * 5MB/d up",
            ],
        ),
        (
            "b.example.org:443",
            &[
                "budget *.example.org 20 names/h",
                "budget *.example.org 10MB/h",
                "budget * 5MB/d up",
            ],
        ),
        ("other.test:80", &["budget * 1GB/d", "budget * 5MB/d up"]),
    ];
    for (asked, expected) in rows {
        let target = target(asked);
        let found: Vec<_> = policy.budgets(&target).map(ToString::to_string).collect();
        assert_eq!(found, expected, "{asked}");
        let told = policy.explain(&target, &[], &LocalAddrs::default());
        assert_eq!(told.budgets.len(), expected.len(), "{asked}");
        assert!(
            told.to_string()
                .contains(&format!("limited by {}", expected[0]))
        );
    }
}

/// However a server reads the path, a credential goes to the paths it is for only.
#[test]
fn credentials_keep_to_their_paths() {
    let policy = policy("inject a.test x-key from env X on /mine/**\n");
    let target = target("a.test:443");
    let injection = policy.injections(&target).next().unwrap();
    let rows = [
        ("/mine/x", true),
        ("/mine/x?q=/../..", true),
        ("/%6dine/x", true),
        ("/", false),
        ("/other", false),
        ("/mine/../other", false),
        ("/mine/%2e%2e/other", false),
        ("/mine/..%2fother", false),
        ("/mine/..;/other", false),
        ("/mine/%zz", false),
    ];
    for (path, covered) in rows {
        assert_eq!(injection.covers_path(path), covered, "{path}");
    }
}
