//! Text and addresses in, verdicts out: the policy of one sandbox.
//!
//! A request becomes one canonical [`Target`]. A [`Policy`], compiled once from a [`config::Document`],
//! answers three questions about it, in this order, and every answer names its cause:
//!
//! 1. [`Policy::admit_host`], and [`Policy::admit_request`] for each request: may it be asked for at all? Asked before
//!    any name is resolved.
//! 2. [`Policy::admit_addr`]: may what was allowed go to this address, which the name resolved to?
//! 3. [`Policy::carriage`]: is the traffic intercepted, or tunnelled unread?
//!
//! [`Policy::explain`] asks the same three functions and tells how they came to their answers.
//!
//! The crate is pure: no sockets, files, clock or environment. The machine's own addresses are given as
//! data ([`LocalAddrs`]).
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod bench;
pub mod config;
mod diff;
mod embedded;
mod explain;
mod host;
pub mod import;
pub mod language;
mod learn;
mod lint;
mod local;
mod matcher;
mod model;
mod net;
mod path;
mod pattern;
mod policy;
mod port;
mod position;
mod quote;
mod record;
mod rule;
mod rule_id;
mod saved;
mod snippet;
mod special;
mod suffix;
mod target;
mod verdict;
mod warning;

pub use diff::{Answer, Change, Difference, differences};
pub use explain::{
    AddrExplanation, Candidate, CredentialExplanation, Explanation, Outcome, RequestExplanation,
};
pub use host::{Host, HostError, HostName};
pub use language::{
    Allowance, ByteBudget, Credential, Placement, Rate, RequestPattern, SecretSource, Unit, Way,
};
pub use learn::{LearnOptions, Learnt, learn};
pub use local::LocalAddrs;
pub use model::{Budget, Expectation, Injection, Limit};
pub use net::{Net, NetError};
pub use path::{PathError, PathPattern, RequestPath};
pub use pattern::{HostPattern, HostScope, PatternError};
pub use policy::{Digest, Policy};
pub use port::{Port, PortError};
pub use position::Position;
pub use record::Record;
pub use rule::{Effect, Origin, Rule};
pub use rule_id::RuleId;
pub use saved::{ListStore, ReadAt, SavedList, Stamp, WriteImage};
pub use snippet::Snippet;
pub use suffix::{is_public_suffix, registered_domain};
pub use target::{Target, TargetError};
pub use verdict::{
    Action, AddrVerdict, Carriage, HostVerdict, Reach, Reason, RequestVerdict, Tier,
};
pub use warning::{VainLift, Warning, WarningKind};
