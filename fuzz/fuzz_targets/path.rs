//! Request paths: the canonical form is its own canonical form and holds nothing that is read in two ways.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::{PathPattern, RequestPath};

fuzz_target!(|text: &str| {
    if let Ok(path) = RequestPath::parse(text) {
        let canonical = path.as_str();
        let again = RequestPath::parse(canonical).expect("the canonical form is a path");
        assert_eq!(again.as_str(), canonical);
        assert!(canonical.starts_with('/') && canonical.is_ascii());
        assert!(!canonical.contains("//") && !canonical.contains(['?', '#', '\\']));
        assert!(
            !canonical
                .split('/')
                .any(|segment| segment == "." || segment == "..")
        );
    }
    if let Ok(pattern) = PathPattern::parse(text) {
        assert_eq!(PathPattern::parse(&pattern.to_string()), Ok(pattern));
    }
});
