//! The file as a text of the policy language.

use super::document::{Document, List};
use crate::{
    HostPattern, Net,
    language::{HostText, InQuotes},
};
use std::fmt::{Display, Write as _};

impl Document {
    /// The same policy in the policy language. Keys that we do not know are left out; they have no effect.
    ///
    /// ```
    /// use policy_lang::config::Document;
    /// let text = r#"{"policy": "deny", "network": {"allowedDomains": ["a.test"], "blockCIDR": []}}"#;
    /// let (document, _) = Document::parse(text, "proxy-config.json").unwrap();
    /// assert_eq!(document.to_language(), "default deny\ndefault net open\nallow a.test\n");
    /// ```
    pub fn to_language(&self) -> String {
        let mut lines = Lines(format!("default {}\n", self.policy()));
        if self.block_nets.is_some() {
            // A list of blocks takes the place of the documented ones.
            lines.0.push_str("default net open\n");
        }
        lines.hosts("allow", &self.allowed);
        lines.hosts("block", &self.blocked);
        lines.hosts("bypass", &self.bypassed);
        lines.nets("allow", &self.allow_nets);
        lines.nets("block", &self.block_nets);
        lines.nets("bypass", &self.bypass_nets);
        for name in self.includes() {
            lines.add("include", InQuotes(name));
        }
        lines.0
    }
}

struct Lines(String);

impl Lines {
    fn hosts(&mut self, verb: &str, list: &List<HostPattern>) {
        for entry in list.iter().flatten() {
            self.add(verb, HostText(&entry.value));
        }
    }

    fn nets(&mut self, verb: &str, list: &List<Net>) {
        for entry in list.iter().flatten() {
            self.add(verb, format_args!("net {}", entry.value));
        }
    }

    fn add(&mut self, verb: &str, subject: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{verb} {subject}");
    }
}
