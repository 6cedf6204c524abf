//! Explanations for people.

use super::{
    AddrExplanation, Candidate, CredentialExplanation, Explanation, Outcome, RequestExplanation,
};
use crate::quote::Quoted;
use std::fmt;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decides => "decides",
            Self::Overruled => "loses: same pattern, and a block wins",
            Self::LessSpecific => "loses: less specific",
            Self::SomeRequests => "blocks some requests only",
            Self::OtherPort => "does not match: another port",
            Self::OtherMethod => "does not match: another method",
            Self::OtherPath => "does not match: another path",
            Self::NotSubdomains => "does not match: an exact name does not cover its subdomains",
            Self::NotApex => "does not match: a wildcard does not cover the name itself",
            Self::Skipped => "does not count here",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.action, self.target)?;
        writeln!(f, "host: {}: {}", self.host, self.because)?;
        write_candidates(f, &self.candidates)?;
        for address in &self.addresses {
            write!(f, "{address}")?;
        }
        if let Some(request) = &self.request {
            write!(f, "{request}")?;
        }
        if let Some(limit) = &self.limit {
            writeln!(f, "limited by {limit}")?;
        }
        for budget in &self.budgets {
            writeln!(f, "limited by {budget}")?;
        }
        for credential in &self.credentials {
            writeln!(f, "{credential}")?;
        }
        writeln!(f, "policy {}", self.policy)
    }
}

impl fmt::Display for RequestExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, path) = (Quoted(&self.method), Quoted(&self.path));
        writeln!(
            f,
            "request {method} {path}: {}: {}",
            self.action, self.because
        )?;
        for other in &self.other_paths {
            writeln!(
                f,
                "  some servers read {}, so that is judged, too",
                Quoted(other)
            )?;
        }
        write_candidates(f, &self.candidates)
    }
}

impl fmt::Display for CredentialExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = if self.sets.contains(' ') {
            ""
        } else {
            "header "
        };
        write!(f, "credential: {header}{} from {}", self.sets, self.from)?;
        if let Some(path) = &self.path {
            write!(f, " on {path}")?;
        }
        write!(f, " ({})", self.origin)?;
        if self.if_handed {
            f.write_str(", where the proxy is given it")?;
        }
        match self.applies {
            Some(false) => f.write_str(": not for this path"),
            Some(true) | None => Ok(()),
        }
    }
}

impl fmt::Display for AddrExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "address {}: {}: {}",
            self.addr, self.action, self.because
        )?;
        write_candidates(f, &self.candidates)?;
        match &self.bypass {
            Some(rule) => writeln!(f, "  carriage: tunnelled unread by rule {rule}"),
            None => writeln!(f, "  carriage: intercepted"),
        }
    }
}

fn write_candidates(f: &mut fmt::Formatter<'_>, candidates: &[Candidate]) -> fmt::Result {
    let rules: Vec<_> = candidates
        .iter()
        .map(|c| format!("{} ({})", c.rule, c.origin))
        .collect();
    let width = rules
        .iter()
        .map(|rule| rule.chars().count())
        .max()
        .unwrap_or(0);
    for (rule, candidate) in rules.iter().zip(candidates) {
        writeln!(f, "  {rule:width$}  {}", candidate.outcome)?;
    }
    Ok(())
}
