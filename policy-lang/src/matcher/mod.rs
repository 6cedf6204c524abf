//! Tables from hosts and addresses to rules, most specific first.

mod buckets;
mod hosts;
mod nets;
mod slot;
mod suffix;

pub(crate) use buckets::Kind;
pub(crate) use hosts::{HostTable, NameList};
pub(crate) use nets::{Author, NetRule, NetTable};
pub(crate) use slot::View;
