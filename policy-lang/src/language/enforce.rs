//! What a policy says but could not hold.

use super::{Error, Problem};
use crate::{Effect, HostPattern, Origin, model::Model};

/// Rules that need to see requests which a bypass hides.
pub(super) fn unenforceable(model: &Model) -> Vec<Error> {
    let bypasses: Vec<_> = model
        .rules
        .iter()
        .filter_map(|rule| match &rule.effect {
            Effect::BypassHost(pattern) => Some((pattern, &rule.origin)),
            _ => None,
        })
        .collect();
    let hidden = |pattern: &HostPattern| {
        let found = bypasses.iter().find(|(bypass, _)| bypass.overlaps(pattern));
        found.map(|(_, origin)| (*origin).clone())
    };
    let requests = model.rules.iter().filter_map(|rule| match &rule.effect {
        Effect::Request(_, pattern, _) => {
            let (pattern, bypass) = (Box::new(pattern.clone()), hidden(pattern)?);
            Some((&rule.origin, Problem::Bypassed { pattern, bypass }))
        }
        _ => None,
    });
    let injections = model.injections.iter().filter_map(|injection| {
        let bypass = hidden(&injection.pattern)?;
        let pattern = Box::new(injection.pattern.clone());
        Some((
            &injection.origin,
            Problem::InjectBypassed { pattern, bypass },
        ))
    });
    let errors = requests.chain(injections);
    errors
        .filter_map(|(origin, problem)| match origin {
            Origin::BuiltIn => None,
            Origin::File { source, at } => Some(Error {
                source_name: source.clone(),
                at: *at,
                chars: 0,
                problem,
            }),
        })
        .collect()
}
