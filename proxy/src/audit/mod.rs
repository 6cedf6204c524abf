//! The record of every request: one JSON line each, for people (`network log`) and for machines.

mod chain;
mod event;
mod flood;
mod log;
mod read;
mod text;

pub use chain::Verifier;
pub use event::{Action, Carriage, Event, Kind, RuleRef, Stage};
pub use read::{ReadError, read};

pub(crate) use flood::{Flood, GATHERING, Line};
pub use log::Trouble;
pub(crate) use log::{LOG_FULL, Log};
pub(crate) use text::clean;
