//! Hosts and authorities: whatever is accepted has one form, and that form means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::{HostPattern, Port, Target};

fuzz_target!(|text: &str| {
    for parsed in [
        Target::parse(text, None),
        Target::parse(text, Some(Port::HTTPS)),
        Target::from_url(text),
    ] {
        match parsed {
            Ok(target) => {
                let canonical = target.to_string();
                assert_eq!(Target::parse(&canonical, None), Ok(target));
                assert!(canonical.is_ascii() && !canonical.contains(['%', '@', '/', '\0', '_']));
                assert_eq!(canonical, canonical.to_ascii_lowercase());
            }
            Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
        }
    }
    if let Ok(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
    }
});
