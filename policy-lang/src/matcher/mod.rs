//! Tables from hosts and addresses to rules, most specific first.

mod buckets;
mod build;
mod hosts;
mod nets;
mod slot;
mod suffix;

pub(crate) use buckets::Kind;
pub(crate) use build::NameList;
pub(crate) use hosts::HostTable;
pub(crate) use nets::{Author, NetRule, NetTable};
pub(crate) use slot::View;
