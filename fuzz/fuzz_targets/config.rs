//! proxy-config.json: what is accepted can be written and read again, in both forms, and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::{
    config::{Document, Edit},
    language::{File, no_files},
};

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
    let language = document.to_language();
    let file = File::parse(&language, "fuzz").expect("the other form can be read");
    if let Ok((policy, _)) = document.compile() {
        let (other, _) = file.compile(&mut no_files).expect("and is a policy");
        assert_eq!(policy.digest(), other.digest());
    }
    let back = Document::from_file(&file).expect("and comes back");
    assert_eq!(back.to_language(), language);
    document.apply(Edit::Reset);
    Document::parse(&document.to_string(), "fuzz").expect("what was reset can be read");
});
