//! The agents that a sandbox can be made for.

use crate::report::{Failure, USAGE};

/// How one agent starts, and what it is to be given.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: &'static str,
    /// The template that has it: a recipe's name, else an image's.
    pub(crate) template: &'static str,
    /// The program and the arguments it gets unless the caller gives others.
    pub(crate) command: &'static [&'static str],
    /// The services whose credentials its proxy puts into requests.
    pub(crate) services: &'static [&'static str],
    /// Variables that it runs with.
    pub(crate) env: &'static [(&'static str, &'static str)],
}

/// Docker's table of agents. Each may do what it likes inside: the sandbox is the fence.
pub(crate) const AGENTS: [Agent; 8] = [
    Agent {
        name: "claude",
        template: "claude",
        command: &["claude", "--dangerously-skip-permissions"],
        services: &["anthropic"],
        // The image is the template's: an agent that replaces itself is another one.
        env: &[("DISABLE_AUTOUPDATER", "1")],
    },
    Agent {
        name: "codex",
        template: "codex",
        command: &["codex", "--dangerously-bypass-approvals-and-sandbox"],
        services: &["openai"],
        env: &[],
    },
    Agent {
        name: "copilot",
        template: "copilot",
        command: &["copilot", "--yolo"],
        services: &["github"],
        env: &[],
    },
    Agent {
        name: "gemini",
        template: "gemini",
        command: &["gemini", "--yolo"],
        services: &["google"],
        // Its own sandbox is a container, or nothing.
        env: &[("GEMINI_SANDBOX", "false")],
    },
    Agent {
        name: "cagent",
        template: "docker/sandbox-templates:docker-agent",
        command: &["docker-agent", "run", "--yolo"],
        services: EVERY_MODEL,
        env: &[],
    },
    Agent {
        name: "kiro",
        template: "docker/sandbox-templates:kiro",
        command: &["kiro-cli", "chat", "--trust-all-tools"],
        services: &[],
        env: &[],
    },
    Agent {
        name: "opencode",
        template: "opencode",
        command: &["opencode"],
        services: EVERY_MODEL,
        env: &[("OPENCODE_DISABLE_AUTOUPDATE", "true")],
    },
    Agent {
        name: "shell",
        template: "shell",
        command: &["bash", "-l"],
        services: EVERY_MODEL,
        env: &[],
    },
];

/// Services of the agents that work with any model.
const EVERY_MODEL: &[&str] = &[
    "anthropic",
    "openai",
    "google",
    "github",
    "groq",
    "mistral",
    "nebius",
    "openrouter",
    "xai",
];

impl Agent {
    /// Whether `name` is an agent's name: no sandbox is called so.
    pub(crate) fn is_reserved(name: &str) -> bool {
        AGENTS.iter().any(|agent| agent.name == name)
    }

    pub(crate) fn find(name: &str) -> Result<&'static Self, Failure> {
        let found = AGENTS.iter().find(|agent| agent.name == name);
        found.ok_or_else(|| {
            Failure::new(format!("there is no agent `{name}`"))
                .help(format!("agents: {}", Self::names()))
                .code(USAGE)
        })
    }

    /// All of them, for a sentence.
    pub(crate) fn names() -> String {
        AGENTS.map(|agent| agent.name).join(", ")
    }

    /// The command line with the caller's arguments. Options and prompts are added to the agent's own; one
    /// plain word is a command of the agent and takes their place, as in Docker's product.
    pub(crate) fn command(&self, args: &[String]) -> Vec<String> {
        let own = self.command.iter().map(|arg| (*arg).to_owned());
        let is_command = |arg: &String| !arg.starts_with('-') && !arg.contains(char::is_whitespace);
        let replaces = args.first().is_some_and(is_command);
        let kept = if replaces { 1 } else { self.command.len() };
        own.take(kept).chain(args.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_arguments_add_or_replace() {
        for (agent, args, command) in [
            ("shell", &[][..], "bash -l"),
            ("shell", &["-c", "make test"], "bash -l -c make test"),
            ("shell", &["build.sh", "-x"], "bash build.sh -x"),
            ("claude", &[], "claude --dangerously-skip-permissions"),
            (
                "claude",
                &["--continue"],
                "claude --dangerously-skip-permissions --continue",
            ),
            ("claude", &["mcp", "list"], "claude mcp list"),
            (
                "claude",
                &["Fix the tests"],
                "claude --dangerously-skip-permissions Fix the tests",
            ),
            ("cagent", &["./team.yaml"], "docker-agent ./team.yaml"),
            ("opencode", &["run", "x"], "opencode run x"),
        ] {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let agent = Agent::find(agent).unwrap();
            assert_eq!(agent.command(&args).join(" "), command);
        }
    }

    #[test]
    fn an_unknown_agent_is_told_the_known() {
        let unknown = Agent::find("hal9000").unwrap_err().to_string();
        let wanted = "error: there is no agent `hal9000`\nhelp: agents: claude, codex, copilot, gemini, \
                      cagent, kiro, opencode, shell";
        assert_eq!(unknown, wanted);
    }
}
