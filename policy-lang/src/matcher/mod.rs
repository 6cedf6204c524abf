//! Tables from hosts and addresses to rules, most specific first.

mod buckets;
mod build;
mod filter;
mod hosts;
mod image;
mod level;
mod lines;
mod listed;
mod listed_name;
mod nets;
mod prefixes;
mod slot;
mod suffix;

pub(crate) use buckets::Kind;
pub(crate) use hosts::{Decided, HostTable};
pub(crate) use image::{Draft, Image, WORTH};
pub(crate) use listed::ListTable;
pub(crate) use listed_name::ListedName;
pub(crate) use nets::{Author, NetRule, NetTable};
pub(crate) use slot::View;
pub(crate) use suffix::Key;
