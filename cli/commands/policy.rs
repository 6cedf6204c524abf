//! `sandbox policy`

use std::path::PathBuf;
use std::process::ExitCode;

use policy_lang::{Host, Port, Target};

use crate::args::{CheckArgs, ExplainArgs, PolicySource};
use crate::policy_file;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::Paths;

pub(super) fn check(args: &CheckArgs) -> Outcome {
    let path = file_of(&args.source)?;
    let file = policy_file::read_aloud(&path)?;
    let rules = file.policy.rules().iter();
    let written = rules.filter(|rule| rule.origin != policy_lang::Origin::BuiltIn);
    report::say(format_args!(
        "`{}` is good: default {}, {} rules",
        path.display(),
        file.policy.default_action(),
        written.count()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Exits with 0 where the request would be allowed and 1 where it would be denied.
pub(super) fn explain(args: &ExplainArgs) -> Outcome {
    let target = target(&args.target)?;
    let file = policy_file::read(&file_of(&args.source)?)?;
    let addrs = if !args.ip.is_empty() {
        args.ip.clone()
    } else if let Host::Addr(addr) = target.host() {
        vec![*addr]
    } else {
        Vec::new()
    };
    let local = proxy::local_addrs();
    let explanation = match path_of(&args.target) {
        Some(path) => {
            let request = (args.method.as_str(), path);
            file.policy
                .explain_request(&target, request, &addrs, &local)
        }
        None => file.policy.explain(&target, &addrs, &local),
    };
    if args.json {
        report::print_json(&explanation)?;
    } else {
        report::print(&explanation)?;
        if addrs.is_empty() {
            report::say(
                "the addresses it resolves to are judged when the request is made; try some with --ip",
            );
        }
    }
    Ok(if explanation.action.is_allow() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(report::FAILED)
    })
}

/// The file that the options name.
fn file_of(source: &PolicySource) -> Result<PathBuf, Failure> {
    if let Some(path) = &source.config {
        return Ok(path.clone());
    }
    let paths = Paths::from_env()?;
    match &source.sandbox {
        Some(name) => Ok(paths.open(name)?.config()),
        None => {
            policy_file::ensure_default(&paths)?;
            Ok(paths.default_policy())
        }
    }
}

/// A URL's scheme gives the port; anything else means HTTPS unless it says otherwise.
fn target(text: &str) -> Result<Target, Failure> {
    let parsed = if text.contains("://") {
        Target::from_url(text)
    } else {
        Target::parse(text, Some(Port::HTTPS))
    };
    parsed.map_err(|error| {
        Failure::doing(format_args!("`{text}`"), &error)
            .help(error.help())
            .code(USAGE)
    })
}

/// What a URL asks for, where the policy has rules on methods and paths.
fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.get(rest.find('/')?..)?;
    Some(path.split(['?', '#']).next().unwrap_or(path))
}
