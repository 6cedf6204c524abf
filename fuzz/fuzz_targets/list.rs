//! List files: no text panics, every entry is a rule or a warning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::language::{File, Source};

fuzz_target!(|text: &str| {
    let file = File::parse("block list \"l\"", "fuzz").expect("a fixed text");
    let mut loader = |_, name: &str, _: &str| {
        let text = text.to_owned();
        let name = name.into();
        Ok(Source { name, text })
    };
    let (policy, _) = file.compile(&mut loader).expect("a list never fails");
    for rule in policy.rules() {
        assert!(
            rule.origin
                .line()
                .is_none_or(|line| line as usize <= text.lines().count())
        );
    }
});
