//! Agents of several vendors at work: each one's program from npm's registry in a container, a stand-in for its
//! vendor's API, a key that only the proxy knows.

use std::fs;
use std::process::Stdio;

use super::Running;
use super::agents::policy;
use crate::model::Model;
use crate::support::{Home, Ran};

/// No bytes of it may be found inside.
const KEY: &str = "sk-only-the-proxy-knows-this-2b8e15";

struct Agent {
    name: &'static str,
    sandbox: &'static str,
    /// The variable that the key is in, the header that carries it, and how.
    key: (&'static str, &'static str, &'static str),
    /// `https://model` stands for the stand-in's address.
    env: &'static [&'static str],
    args: &'static [&'static str],
}

#[test]
fn codex_works_with_a_key_that_it_never_sees() {
    works(&Agent {
        name: "codex",
        sandbox: "codex-1",
        key: ("OPENAI_API_KEY", "authorization", "Bearer %s"),
        env: &[],
        args: &[
            "exec",
            "--skip-git-repo-check",
            // One that it does not know has the plainest tools.
            "-m",
            "stand-in",
            "-c",
            "model_provider=\"standin\"",
            "-c",
            "model_providers.standin={name=\"stand-in\",base_url=\"https://model/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}",
            "Make the file.",
        ],
    });
}

#[test]
fn copilot_works_with_a_key_that_it_never_sees() {
    works(&Agent {
        name: "copilot",
        sandbox: "copilot-1",
        key: ("OPENAI_API_KEY", "authorization", "Bearer %s"),
        env: &[
            "COPILOT_PROVIDER_BASE_URL=https://model/v1",
            "COPILOT_PROVIDER_TYPE=openai",
            "COPILOT_PROVIDER_API_KEY=proxy-managed",
            "COPILOT_MODEL=stand-in",
        ],
        args: &["-p", "Make the file."],
    });
}

#[test]
fn gemini_works_with_a_key_that_it_never_sees() {
    works(&Agent {
        name: "gemini",
        sandbox: "gemini-1",
        key: ("GEMINI_API_KEY", "x-goog-api-key", "%s"),
        env: &["GOOGLE_GEMINI_BASE_URL=https://model"],
        args: &["-m", "gemini-2.5-flash", "-p", "Make the file."],
    });
}

#[test]
fn opencode_works_with_a_key_that_it_never_sees() {
    works(&Agent {
        name: "opencode",
        sandbox: "opencode-1",
        key: ("ANTHROPIC_API_KEY", "x-api-key", "%s"),
        env: &[
            "OPENCODE_CONFIG_CONTENT={\"model\":\"anthropic/claude-sonnet-4-5\",\"provider\":{\"anthropic\":{\"options\":{\"baseURL\":\"https://model/v1\"}}}}",
        ],
        args: &["run", "Make the file."],
    });
}

fn works(agent: &Agent) {
    let model = Model::wanting("echo made by the agent > made.txt");
    let url = format!("https://localhost:{}", model.addr.port());
    let home = Home::new();
    let mut create = vec![
        "create",
        "--isolation",
        "container",
        "--name",
        agent.sandbox,
    ];
    // Nothing is reached but by the proxy, also what is called `localhost`.
    let told = agent
        .env
        .iter()
        .map(|variable| variable.replace("https://model", &url));
    let told: Vec<_> = told
        .chain(["NO_PROXY=", "no_proxy="].map(str::to_owned))
        .collect();
    create.extend(told.iter().flat_map(|variable| ["-e", variable.as_str()]));
    create.extend([agent.name, "."]);
    home.ok(&create);
    let (variable, header, form) = agent.key;
    let dir = home.sandbox_dir(agent.sandbox);
    let inject = format!("{header} from env {variable} as \"{form}\"");
    policy(&dir, model.addr.port(), &inject);

    let roots = model.trust.roots();
    let env = [(variable, KEY), ("SSL_CERT_FILE", roots.to_str().unwrap())];
    let sandbox = Running::adopt(home, agent.sandbox, &env);
    let args: Vec<_> = agent
        .args
        .iter()
        .map(|arg| arg.replace("https://model", &url))
        .collect();
    let mut run = vec!["run", agent.sandbox, "--"];
    run.extend(args.iter().map(String::as_str));
    let ran = Ran::from(sandbox.command(&run).stdin(Stdio::null()).output().unwrap());
    let log = sandbox.log();
    assert!(
        ran.code == 0 && ran.stdout.contains("The command ran."),
        "{ran:?}\n{log}"
    );
    // Nobody was asked for permission.
    let made = fs::read_to_string(sandbox.home.project().join("made.txt")).unwrap();
    assert_eq!(made, "made by the agent\n");
    let heard = model.heard();
    assert!(heard.len() > 1, "{heard:?}");
    for (head, body) in &heard {
        assert_eq!(head[header], form.replace("%s", KEY));
        let mut head = head.clone();
        head.remove(header);
        assert!(!format!("{head:?} {body}").contains(KEY));
    }
    // The pattern must not find itself.
    let everything = "sudo sh -c 'cat /proc/[0-9]*/environ /etc/environment; grep -r only-the-prox[y] ~agent /tmp'";
    let seen = sandbox.inside(everything).stdout;
    assert!(
        seen.contains("host.docker.internal:3128") && !seen.contains(KEY),
        "{seen}"
    );
}
