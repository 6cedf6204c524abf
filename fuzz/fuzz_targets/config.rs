//! proxy-config.json: what is accepted can be written and read again, and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::config::{Document, Edit};

fuzz_target!(|text: &str| {
    let (mut document, _) = match Document::parse(text, "fuzz") {
        Ok(parsed) => parsed,
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(error.at.line as usize <= text.lines().count() + 1);
                assert!(!error.to_string().chars().any(char::is_control));
            }
            return;
        }
    };
    let written = document.to_string();
    let (again, _) = Document::parse(&written, "fuzz").expect("what is written can be read");
    assert_eq!(again.to_string(), written);
    if let (Ok((policy, _)), Ok((other, _))) = (document.compile(), again.compile()) {
        assert_eq!(policy.digest(), other.digest());
    }
    document.apply(Edit::Reset);
    Document::parse(&document.to_string(), "fuzz").expect("what was reset can be read");
});
