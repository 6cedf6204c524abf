//! What the policy says about an admitted request beyond yes and no.

use std::time::Instant;

use policy_lang::{Injection, Target};

use crate::cause::Cause;
use crate::context::Context;
use crate::traffic::Traffic;

/// Counts a request to `target` under the limit and the budgets that cover it, or says which is used up.
pub(crate) fn charge(context: &Context, target: &Target, traffic: &Traffic) -> Result<(), Cause> {
    let snapshot = context.live.snapshot();
    if let Some(limit) = snapshot.policy.limit(target) {
        let pattern = limit.pattern.to_string();
        let taken = context.rates.take(pattern, limit.rate, Instant::now());
        taken.map_err(|wait| Cause::Limited {
            rule: format!("limit {} {}", limit.pattern, limit.rate),
            wait,
        })?;
    }
    Ok(context.budgets.charge(&snapshot.policy, target, traffic)?)
}

/// The credentials that are to be set on requests to `target`.
pub(crate) fn injections(context: &Context, target: &Target) -> Vec<Injection> {
    let snapshot = context.live.snapshot();
    let of_policy = snapshot.policy.injections(target).cloned().collect();
    context.credentials.choose(of_policy, target)
}
