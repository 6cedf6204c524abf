//! The policy language: no text panics, errors point into the text, printing and parsing are inverse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::language::{File, no_files};

fuzz_target!(|text: &str| {
    match File::parse(text, "fuzz") {
        Ok(file) => {
            let printed = file.to_string();
            let again = File::parse(&printed, "fuzz").expect("what is printed can be parsed");
            assert!(again == file, "{printed}");
            assert_eq!(again.to_string(), printed);
            match (file.compile(&mut no_files), again.compile(&mut no_files)) {
                (Ok((policy, _)), Ok((other, _))) => assert_eq!(policy.digest(), other.digest()),
                (Err(errors), Err(others)) => assert_eq!(errors.len(), others.len()),
                _ => panic!("{printed} compiles in one form only"),
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                let line = text
                    .split('\n')
                    .nth(error.at.line as usize - 1)
                    .expect("a line of the text");
                assert!(error.at.column as usize <= line.chars().count() + 1);
                error.render(text);
            }
        }
    }
});
