//! The agents that a sandbox can be made for.

use crate::report::{Failure, USAGE};

/// How one agent starts.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: &'static str,
    /// The template that has it.
    pub(crate) template: &'static str,
    /// The program and the arguments it gets unless the caller gives others.
    pub(crate) command: &'static [&'static str],
}

const AGENTS: [Agent; 1] = [Agent {
    name: "shell",
    template: "shell",
    command: &["bash", "-l"],
}];

/// Agents that Docker Sandboxes has and this program has not yet.
const NOT_YET: [&str; 7] = [
    "claude", "codex", "copilot", "gemini", "cagent", "kiro", "opencode",
];

impl Agent {
    /// Whether `name` is an agent's name, here or in Docker's product: no sandbox is called so.
    pub(crate) fn is_reserved(name: &str) -> bool {
        AGENTS.iter().any(|agent| agent.name == name) || NOT_YET.contains(&name)
    }

    pub(crate) fn find(name: &str) -> Result<&'static Self, Failure> {
        if let Some(agent) = AGENTS.iter().find(|agent| agent.name == name) {
            return Ok(agent);
        }
        let known: Vec<&str> = AGENTS.iter().map(|agent| agent.name).collect();
        let known = known.join(", ");
        let failure = if NOT_YET.contains(&name) {
            Failure::new(format!("agent `{name}` has no template yet")).help(format!(
                "this version has: {known}; install the agent inside a `shell` sandbox"
            ))
        } else {
            Failure::new(format!("there is no agent `{name}`"))
                .help(format!("this version has: {known}"))
        };
        Err(failure.code(USAGE))
    }

    /// The command line with the caller's arguments. Arguments that begin with `-` are added to
    /// the agent's own; anything else takes their place, as in Docker's product.
    pub(crate) fn command(&self, args: &[String]) -> Vec<String> {
        let own = self.command.iter().map(|arg| (*arg).to_owned());
        let replaces = args.first().is_some_and(|first| !first.starts_with('-'));
        let kept = if replaces { 1 } else { self.command.len() };
        own.take(kept).chain(args.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_arguments_add_or_replace() {
        let shell = Agent::find("shell").unwrap();
        for (args, command) in [
            (&[][..], "bash -l"),
            (&["-c", "make test"], "bash -l -c make test"),
            (&["build.sh", "-x"], "bash build.sh -x"),
        ] {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(shell.command(&args).join(" "), command);
        }
    }

    #[test]
    fn an_unknown_agent_is_told_from_one_to_come() {
        let unknown = Agent::find("hal9000").unwrap_err().to_string();
        assert!(unknown.contains("there is no agent `hal9000`"), "{unknown}");
        let to_come = Agent::find("claude").unwrap_err().to_string();
        assert!(to_come.contains("no template yet"), "{to_come}");
    }
}
