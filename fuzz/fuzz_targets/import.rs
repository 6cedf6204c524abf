//! Policies of other tools: whatever is imported is a policy, in both forms, and every note is about a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::{
    config::Document,
    import::{Format, import},
    language::{File, FileKind, Source},
};

fuzz_target!(|text: &str| {
    let _ = Format::detect(text);
    let mut load = |_: FileKind, name: &str, _: &str| {
        Ok(Source {
            name: name.into(),
            text: String::new(),
        })
    };
    for format in Format::ALL {
        let Ok(imported) = import(text, format, None) else {
            continue;
        };
        let written = imported.file.to_string();
        // What could not be read back would be empty.
        assert!(written.starts_with("# imported from"));
        let again = File::parse(&written, "fuzz").expect("what is written can be read");
        assert_eq!(again.to_string(), written);
        let policy = imported.file.compile(&mut load);
        let (policy, _) = policy.expect("what is imported is a policy");
        let document = Document::from_file(&imported.file).expect("it has a JSON form");
        let (json, _) = document.compile_with(&mut load).expect("which is a policy");
        assert_eq!(policy.digest(), json.digest());
        // A carriage return alone is a line break in YAML 1.2 (§5.4), and only there.
        let lines = match format {
            Format::Smokescreen => text.split(['\n', '\r']).count(),
            _ => text.lines().count(),
        };
        for note in &imported.notes {
            assert!(note.line <= lines + 1);
            assert!(!note.to_string().chars().any(char::is_control));
        }
    }
});
