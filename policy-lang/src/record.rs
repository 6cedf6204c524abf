//! Requests that were made, as a log has them, and what a policy says to them.

use crate::{Action, LocalAddrs, Policy, Reason, Target};
use std::net::IpAddr;

/// A request or tunnel that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Host and port.
    pub target: Target,
    /// Method and path, where they were seen; `None` for a tunnel.
    pub request: Option<(String, String)>,
    /// The address that was dialled.
    pub address: Option<IpAddr>,
    /// What the policy of that time said.
    pub allowed: bool,
}

impl Policy {
    /// What this policy would have said to a recorded request: to its host, method and path, and to the address
    /// it went to.
    pub fn replay(&self, record: &Record, local: &LocalAddrs) -> (Action, Reason) {
        let target = &record.target;
        let asked = match &record.request {
            Some((method, path)) => self.admit_request(target, method, path),
            None => self.admit_host(target).into(),
        };
        let leads = record
            .address
            .map(|addr| self.admit_addr(target, asked, addr, local));
        match leads {
            Some(refused) if !refused.action.is_allow() => (refused.action, refused.reason),
            _ => (asked.action, asked.reason),
        }
    }
}
