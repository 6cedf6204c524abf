//! A list that was saved decides what its text would, and nothing but the image of that very text is believed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod shelf;

use fastrand::Rng;
use policy_lang::{Policy, Port, ReadAt, Target, differences};
use shelf::{Bytes, Shelf};
use std::sync::Arc;

const RULES: &str = "default allow\nallow *.b0.test:443\nallow n7.test\nblock list \"long\"\n";

/// Names of all kinds, some of them twice or below another, among words that are no plain names.
fn text(names: usize) -> String {
    let line = |n: usize| match n % 16 {
        0 => format!("*.b{n}.test"),
        1 => format!("0.0.0.0 n{n}.test"),
        2 => format!("# ünd {n}\n  .s{n}.test   # why"),
        3 if n % 512 == 3 => format!("p{n}.test:8443 bücher{n}.test"),
        4 if n % 512 == 4 => "no_name 192.0.2.1 *.zz\r".to_owned(),
        5 => format!("a.b.c.d{}.test", n / 3),
        6 => format!("||{}.e{n}.co.uk^", "long-label".repeat(n % 5 + 1)),
        _ => format!("n{n}.test"),
    };
    (0..names).map(|n| line(n) + "\n").collect()
}

fn targets(rng: &mut Rng, count: usize, names: usize) -> Vec<Target> {
    let target = |_| {
        let n = rng.usize(..names + names / 4);
        let name = match rng.u8(..10) {
            0 => format!("b{n}.test"),
            1 => format!("s{n}.test"),
            2 => format!("a.b.c.d{}.test", n / 3),
            3 => format!("{}.e{n}.co.uk", "long-label".repeat(n % 5 + 1)),
            4 => format!("p{n}.test"),
            5 => "xn--bcher3-3ya.test".to_owned(),
            6 => "zz".to_owned(),
            _ => format!("n{n}.test"),
        };
        let name = match rng.u8(..3) {
            0 => format!("www.{name}"),
            _ => name,
        };
        let port = *rng.choice(&[443, 80, 8443]).unwrap();
        Target::parse(&name, Port::new(port)).unwrap()
    };
    (0..count).map(target).collect()
}

/// Verdicts and rules, with the places these were written at.
fn answers(policy: &Policy, targets: &[Target]) -> Vec<String> {
    let answer = |target: &Target| {
        let verdict = policy.admit_host(target);
        format!(
            "{target} {} {}",
            verdict.action,
            policy.describe(verdict.reason)
        )
    };
    targets.iter().map(answer).collect()
}

#[test]
fn an_image_decides_what_its_text_does() {
    const NAMES: usize = 20_000;
    let mut shelf = Shelf::new(text(NAMES));
    let (expected, warnings) = {
        let text = shelf.text.clone();
        let file = policy_lang::language::File::parse(RULES, "test").unwrap();
        let mut load = |_, name: &str, _: &str| {
            let (name, text) = (name.into(), text.clone());
            Ok(policy_lang::language::Source { name, text })
        };
        file.compile(&mut load).unwrap()
    };
    let targets = targets(&mut Rng::with_seed(0x1ae), 10_000, NAMES);
    let answered = answers(&expected, &targets);
    assert!(warnings.len() > 20);
    // As made from the text, then from the image alone.
    for loads in [1, 1] {
        let (policy, warned) = shelf.compile(RULES);
        assert_eq!(shelf.loads, loads);
        assert!(shelf.image.is_some());
        assert_eq!(warned, warnings);
        assert_eq!(policy.digest(), expected.digest());
        assert_eq!(policy.rules(), expected.rules());
        for (left, right) in answers(&policy, &targets).iter().zip(&answered) {
            assert_eq!(left, right);
        }
        assert!(differences(&expected, &policy).is_empty());
    }
}

/// From the image alone, too: not one is lost, and one that is listed twice counts once.
#[test]
fn every_name_of_an_image_is_found() {
    const NAMES: usize = 40_000;
    for ending in ["", ".test", ".a.b.test"] {
        let names = (0..NAMES).map(|n| format!("name{n}{ending}"));
        let names: Vec<_> = names.collect();
        let mut shelf = Shelf::new(names.join("\n") + "\n" + &names.join("\n") + "\n");
        shelf.compile(RULES);
        let (policy, _) = shelf.compile(RULES);
        assert_eq!((shelf.loads, policy.listed_names()), (1, NAMES));
        let lost = names.iter().filter(|name| {
            let target = Target::parse(name, Port::new(443)).unwrap();
            policy.admit_host(&target).action.is_allow()
        });
        assert_eq!(lost.collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

/// Only what blocks may be decided without its text, and only what is long is worth an image.
#[test]
fn allowed_bypassed_and_short_lists_have_no_image() {
    let rows = [
        ("block list \"long\"", 40_000, true),
        ("allow list \"long\"", 40_000, false),
        ("bypass list \"long\"", 40_000, false),
        ("block list \"long\"", 100, false),
    ];
    for (rule, names, saved) in rows {
        let mut shelf = Shelf::new(text(names));
        shelf.compile(rule);
        assert_eq!(shelf.image.is_some(), saved, "{rule}, {names}");
        // An image that is there all the same is not looked at.
        let mut other = Shelf::new(text(40_000));
        other.compile("block list \"long\"");
        shelf.image = other.image;
        let loads = shelf.loads;
        shelf.compile(rule);
        assert_eq!(
            shelf.loads - loads,
            usize::from(rule.starts_with('a') || rule.starts_with("by"))
        );
    }
}

fn bytes(image: &dyn ReadAt) -> Vec<u8> {
    let mut bytes = vec![0; image.size() as usize];
    image.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// An image of another list or key, cut off, or changed anywhere: verdicts stay those of the text, and a place in the
/// list that is no longer known is not made up.
#[test]
fn no_image_but_the_right_one_is_believed() {
    const NAMES: usize = 18_000;
    let mut rng = Rng::with_seed(0xbad);
    let mut shelf = Shelf::new(text(NAMES));
    let (policy, _) = shelf.compile(RULES);
    let targets = targets(&mut rng, 300, NAMES);
    let expected = answers(&policy, &targets);
    let image = bytes(&**shelf.image.as_ref().unwrap());
    let verdict = |answer: &str| answer.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let check = |mut shelf: Shelf, must_rebuild: bool, what: String| {
        shelf.loads = 0;
        let (policy, _) = shelf.compile(RULES);
        let answered = answers(&policy, &targets);
        for (answer, expected) in answered.iter().zip(&expected) {
            assert_eq!(verdict(answer), verdict(expected), "{what}");
            let unknown = answer.ends_with("rule a rule of another policy");
            assert!(
                answer == expected || (shelf.loads == 0 && unknown),
                "{what}: {answer}, not {expected}"
            );
        }
        assert!(shelf.loads == 1 || !must_rebuild, "{what}");
    };
    let with = |bytes: Vec<u8>| Shelf {
        image: Some(Arc::new(Bytes(bytes))),
        ..shelf.clone()
    };
    let stamp = [8; 64];
    check(
        Shelf {
            stamp,
            ..shelf.clone()
        },
        true,
        "another stamp".into(),
    );
    let key = shelf.key.map(|word| word.rotate_left(7));
    check(
        Shelf {
            key,
            ..shelf.clone()
        },
        true,
        "another key".into(),
    );
    for len in [0, 7, 100, 175, 176, 300, image.len() / 2, image.len() - 1] {
        check(
            with(image[..len].to_vec()),
            true,
            format!("cut off at {len}"),
        );
    }
    let longer = [&image[..], b"x"].concat();
    check(with(longer), true, "longer".into());
    // The header, the table and some of what comes behind; then anywhere.
    let header = (0..200)
        .step_by(5)
        .chain((0..20).map(|_| rng.usize(..140_000)));
    for at in header.collect::<Vec<_>>() {
        let mut bytes = image.clone();
        bytes[at] ^= 1 << rng.u8(..8);
        check(with(bytes), true, format!("changed at {at}"));
    }
    for _ in 0..20 {
        let at = rng.usize(..image.len());
        let mut bytes = image.clone();
        bytes[at..]
            .iter_mut()
            .take(64)
            .for_each(|byte| *byte ^= rng.u8(..));
        check(with(bytes), false, format!("spoilt from {at}"));
    }
}
