//! `sandbox network proxy`

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use policy_lang::config::Edit;
use policy_lang::{Action, HostPattern, Net, Policy};

use crate::args::{DefaultPolicy, NetworkProxyArgs};
use crate::lifecycle;
use crate::policy_file;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::{Paths, Sandbox};

pub(super) fn run(args: &NetworkProxyArgs) -> Outcome {
    let edits = edits(args)?;
    let paths = Paths::from_env()?;
    let sandbox = paths.open(&args.sandbox)?;
    if args.renew_ca {
        renew_ca(&sandbox)?;
    }
    if args.renew_credentials {
        renew_credentials(&paths, &sandbox)?;
    } else if edits.is_empty() && !args.reset && !args.renew_ca {
        let file = policy_file::of(&sandbox)?;
        policy_file::tell_warnings(&file);
        if args.json {
            report::print(file.document.to_string().trim_end())?;
        } else {
            report::print(listing(&file.policy).trim_end())?;
            if sandbox.is_running() {
                credentials(&paths, &sandbox)?;
            }
        }
    }
    if edits.is_empty() && !args.reset {
        return Ok(ExitCode::SUCCESS);
    }
    let from = if args.reset {
        policy_file::ensure_default(&paths)?;
        Some(policy_file::default(&paths)?)
    } else {
        None
    };
    policy_file::edit(&sandbox, from, edits)?;
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

/// The guest trusts what it is given at its start, so the sandbox must not run.
fn renew_ca(sandbox: &Sandbox) -> Result<(), Failure> {
    let name = &sandbox.record.name;
    if sandbox.is_running() {
        return Err(Failure::new(format!(
            "`{name}` is running and trusts the authority that it has"
        ))
        .help(format!("stop it first with `sandbox stop {name}`")));
    }
    proxy::ca::renew(&sandbox.ca_dir()).map_err(|error| Failure::of(&error).help(error.help()))?;
    report::say(format_args!(
        "`{name}` has a new certificate authority, which it trusts from its next start"
    ));
    Ok(())
}

fn renew_credentials(paths: &Paths, sandbox: &Sandbox) -> Result<(), Failure> {
    if sandbox.is_running() {
        return lifecycle::renew_credentials(paths, sandbox);
    }
    report::say(format_args!(
        "`{}` is stopped; it takes its caller's credentials at its next start",
        sandbox.record.name
    ));
    Ok(())
}

/// The credentials in force, by name only.
fn credentials(paths: &Paths, sandbox: &Sandbox) -> Result<(), Failure> {
    for active in lifecycle::active_credentials(paths, sandbox)? {
        report::print(format_args!(
            "credential {}: {} on {} from {}",
            active.name, active.place, active.host, active.from
        ))?;
    }
    Ok(())
}

/// The flags as edits: what removes comes before what adds, so one command can replace a rule.
fn edits(args: &NetworkProxyArgs) -> Result<Vec<Edit>, Failure> {
    let mut edits = Vec::new();
    let default = args.policy.map(|policy| match policy {
        DefaultPolicy::Allow => Action::Allow,
        DefaultPolicy::Deny => Action::Deny,
    });
    edits.extend(default.map(Edit::Policy));
    for (texts, flag, edit) in [
        (
            &args.remove_host,
            "--remove-host",
            Edit::RemoveHost as HostEdit,
        ),
        (&args.allow_host, "--allow-host", Edit::AllowHost),
        (&args.block_host, "--block-host", Edit::BlockHost),
        (&args.bypass_host, "--bypass-host", Edit::BypassHost),
    ] {
        for text in texts {
            let pattern = HostPattern::parse(text)
                .map_err(|error| usage(flag, text, &error, error.help()))?;
            edits.push(edit(pattern));
        }
    }
    for (texts, flag, edit) in [
        (
            &args.remove_cidr,
            "--remove-cidr",
            Edit::RemoveCidr as NetEdit,
        ),
        (&args.allow_cidr, "--allow-cidr", Edit::AllowCidr),
        (&args.block_cidr, "--block-cidr", Edit::BlockCidr),
        (&args.bypass_cidr, "--bypass-cidr", Edit::BypassCidr),
    ] {
        for text in texts {
            let net = Net::parse(text).map_err(|error| usage(flag, text, &error, error.help()))?;
            edits.push(edit(net));
        }
    }
    Ok(edits)
}

type HostEdit = fn(HostPattern) -> Edit;
type NetEdit = fn(Net) -> Edit;

fn usage(flag: &str, text: &str, error: &(dyn Error + 'static), help: &str) -> Failure {
    Failure::doing(format_args!("{flag} `{text}`"), error)
        .help(help)
        .code(USAGE)
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
