//! `proxy-config.json`: the policy as Docker's tools write it.
//!
//! ```
//! use policy_lang::config::{Document, Edit};
//! use policy_lang::{Action, Target};
//! let (mut document, _) = Document::parse(r#"{ "policy": "allow" }"#, "proxy-config.json").unwrap();
//! document.apply(Edit::Policy(Action::Deny));
//! document.apply(Edit::AllowHost("*.example.org".parse()?));
//! let (policy, _) = document.compile().unwrap();
//! assert!(policy.admit_host(&Target::parse("www.example.org:443", None)?).action.is_allow());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod comments;
mod convert;
mod document;
mod edit;
mod entry;
mod entry_fields;
mod error;
mod fields;
mod object;
mod read;
mod reader;
mod schema;
mod write;

pub use crate::warning::{Warning, WarningKind};
pub use document::{Document, docker_default};
pub use edit::{Applied, Edit};
pub use error::{Error, Problem};
pub use schema::schema;
