//! Tables from hosts and addresses to rules, most specific first.

mod buckets;
mod build;
mod filter;
mod hosts;
mod level;
mod lines;
mod listed;
mod nets;
mod prefixes;
mod slot;
mod suffix;

pub(crate) use buckets::Kind;
pub(crate) use hosts::{Decided, HostTable};
pub(crate) use listed::{ListTable, ListedName};
pub(crate) use nets::{Author, NetRule, NetTable};
pub(crate) use slot::View;
pub(crate) use suffix::Key;
