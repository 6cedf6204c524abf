//! `sandbox network proxy`

use std::fmt::Write;
use std::process::ExitCode;

use policy_lang::config::Edit;
use policy_lang::{Action, HostPattern, Net, Policy};

use crate::args::{DefaultPolicy, NetworkProxyArgs};
use crate::lifecycle;
use crate::policy_file;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::Paths;

pub(super) fn run(args: &NetworkProxyArgs) -> Outcome {
    let edits = edits(args)?;
    let paths = Paths::from_env()?;
    let sandbox = paths.open(&args.sandbox)?;
    if edits.is_empty() && !args.reset {
        let file = policy_file::read_aloud(&sandbox.config())?;
        if args.json {
            report::print(file.document.to_string().trim_end())?;
        } else {
            report::print(listing(&file.policy).trim_end())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let from = if args.reset {
        policy_file::ensure_default(&paths)?;
        paths.default_policy()
    } else {
        sandbox.config()
    };
    policy_file::edit(&sandbox, &from, edits)?;
    if sandbox.is_running() {
        lifecycle::reload_policy(&paths, &sandbox)?;
    } else {
        report::say(format_args!(
            "`{}` is stopped; the policy holds from its next start",
            sandbox.record.name
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The flags as edits: what removes comes before what adds, so one command can replace a rule.
fn edits(args: &NetworkProxyArgs) -> Result<Vec<Edit>, Failure> {
    let mut edits = Vec::new();
    let default = args.policy.map(|policy| match policy {
        DefaultPolicy::Allow => Action::Allow,
        DefaultPolicy::Deny => Action::Deny,
    });
    edits.extend(default.map(Edit::Policy));
    let hosts: [(&str, &[String], fn(HostPattern) -> Edit); 4] = [
        ("--remove-host", &args.remove_host, Edit::RemoveHost),
        ("--allow-host", &args.allow_host, Edit::AllowHost),
        ("--block-host", &args.block_host, Edit::BlockHost),
        ("--bypass-host", &args.bypass_host, Edit::BypassHost),
    ];
    for (flag, patterns, edit) in hosts {
        for text in patterns {
            let pattern = HostPattern::parse(text).map_err(|error| {
                Failure::doing(format!("{flag} `{text}`"), &error)
                    .help(error.help())
                    .code(USAGE)
            })?;
            edits.push(edit(pattern));
        }
    }
    let nets: [(&str, &[String], fn(Net) -> Edit); 4] = [
        ("--remove-cidr", &args.remove_cidr, Edit::RemoveCidr),
        ("--allow-cidr", &args.allow_cidr, Edit::AllowCidr),
        ("--block-cidr", &args.block_cidr, Edit::BlockCidr),
        ("--bypass-cidr", &args.bypass_cidr, Edit::BypassCidr),
    ];
    for (flag, texts, edit) in nets {
        for text in texts {
            let net = Net::parse(text).map_err(|error| {
                Failure::doing(format!("{flag} `{text}`"), &error)
                    .help(error.help())
                    .code(USAGE)
            })?;
            edits.push(edit(net));
        }
    }
    Ok(edits)
}

/// The policy as a person reads it: the default, then the rules that somebody wrote.
fn listing(policy: &Policy) -> String {
    let mut text = format!("default {}\n", policy.default_action());
    for rule in policy.rules() {
        if rule.origin != policy_lang::Origin::BuiltIn {
            // Writing to a `String` does not fail.
            let _ = writeln!(text, "{}", rule.effect);
        }
    }
    text
}
