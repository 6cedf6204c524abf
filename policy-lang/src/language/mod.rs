//! The policy language: rules for people to write, review and test.
//!
//! ```text
//! # team.policy
//! default deny
//! set ai = { api.anthropic.com:443, api.openai.com:443 }
//! allow $ai
//! allow *.example.org
//! block net 169.254.0.0/16
//! allow api.github.com:443 GET,HEAD /repos/myorg/**
//! expect deny https://evil.example.org/
//! ```
//!
//! One statement stands on a line, only a set may span several; `#` starts a comment. The order of statements
//! never changes a verdict. [`File::parse`] reports every error at once; a [`File`]'s `Display` is its one
//! canonical form, comments kept.

mod ast;
mod cursor;
mod enforce;
mod error;
mod gather;
mod in_quotes;
mod list;
mod parse;
mod parse_terms;
mod print;
mod remarks;
mod span;
mod terms;
mod token;
mod value;
mod words;

pub(crate) use ast::{ExpectItem, Item, Line, Member, NetDefault, RuleItem, Set, Subject, Verb};
pub use ast::{File, RequestPattern};
pub use error::{Error, Problem};
pub(crate) use gather::Gatherer;
pub use gather::{FileKind, Load, Loader, Source, no_files};
pub(crate) use list::listed_patterns;
pub(crate) use parse_terms::{allowance_text, bytes_text, format, header, parameter, rate_text};
pub(crate) use print::HostText;
pub(crate) use span::{Span, Spanned};
pub use terms::{Allowance, ByteBudget, Credential, Placement, Rate, SecretSource, Unit, Way};
pub(crate) use terms::{BudgetItem, InjectItem, LimitItem};
pub(crate) use value::{env_name, file_name, method, nearest, plain_text, set_name, url};
