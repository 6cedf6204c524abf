//! The command line before clap reads it: Docker's way of calling a plugin, and an agent's own arguments.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{ArgAction, Command};

/// The name under which Docker's client finds this program.
pub(crate) const PLUGIN: &str = "docker-sandbox";

/// Options of `docker` itself that are followed by a value. It hands its plugins the whole line.
const DOCKERS: [&str; 9] = [
    "--config",
    "--context",
    "-c",
    "--host",
    "-H",
    "--log-level",
    "-l",
    "--tlscacert",
    "--tlscert",
];

/// Whether the program was called as Docker's plugin.
pub(crate) fn is_plugin(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(PLUGIN))
}

/// `docker-sandbox [DOCKER'S OPTIONS] sandbox COMMAND…` without what is Docker's.
pub(crate) fn without_docker(args: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|arg| arg.to_str()) {
        if arg == "sandbox" {
            let program = args.first().cloned();
            return program
                .into_iter()
                .chain(args.into_iter().skip(at + 1))
                .collect();
        }
        let has_value = DOCKERS.contains(&arg) || arg == "--tlskey";
        if !arg.starts_with('-') {
            break;
        }
        at += if has_value { 2 } else { 1 };
    }
    args
}

/// `--version` and `-V`, which everybody tries, are `version`.
pub(crate) fn spell_out_version(args: &mut [OsString]) {
    if let [_, flag] = args
        && (flag == "--version" || flag == "-V")
    {
        *flag = "version".into();
    }
}

/// Puts `--` before the first argument of `run` that is the agent's: `run claude --continue`,
/// `run claude ~/project "Fix the tests"`. An option that `run` itself has is `run`'s; a word is a folder if
/// there is one of that name, or if it is written as a path.
pub(crate) fn mark_agent_args(mut args: Vec<OsString>, cli: &Command) -> Vec<OsString> {
    let is_global = |arg: &&OsString| arg.to_str().is_some_and(|arg| arg.starts_with('-'));
    let command = args.iter().skip(1).take_while(is_global).count() + 1;
    if args.get(command).is_none_or(|arg| arg != "run") {
        return args;
    }
    let Some(run) = cli.find_subcommand("run") else {
        return args;
    };
    if let Some(at) = first_of_agent(&args, command + 1, run) {
        args.insert(at, "--".into());
    }
    args
}

fn first_of_agent(args: &[OsString], from: usize, run: &Command) -> Option<usize> {
    let mut at = from;
    let mut has_subject = false;
    loop {
        let arg = args.get(at)?;
        // What is not text is a path.
        let text = arg.to_str().unwrap_or("/");
        at += match Word::of(text, run) {
            Word::End => return None,
            Word::Option { takes_next } => 1 + usize::from(takes_next),
            Word::Unknown if has_subject => return Some(at),
            Word::Plain if has_subject && !is_folder(text) => return Some(at),
            Word::Unknown => return None, // clap says what is wrong
            Word::Plain => {
                has_subject = true;
                1
            }
        };
    }
}

enum Word {
    /// `--`: what follows is marked already.
    End,
    /// An option of `run`, and whether its value is the next argument.
    Option {
        takes_next: bool,
    },
    /// An option that `run` does not have.
    Unknown,
    Plain,
}

impl Word {
    fn of(text: &str, run: &Command) -> Self {
        if text == "--" {
            return Self::End;
        }
        let takes_value =
            |arg: &clap::Arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        if let Some(long) = text.strip_prefix("--") {
            let (name, has_value) = match long.split_once('=') {
                Some((name, _)) => (name, true),
                None => (long, false),
            };
            let known = run.get_arguments().find(|arg| {
                arg.get_long() == Some(name)
                    || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
            });
            return match known {
                Some(arg) => Self::Option {
                    takes_next: takes_value(arg) && !has_value,
                },
                None if name == "help" => Self::Option { takes_next: false },
                None => Self::Unknown,
            };
        }
        let mut letters = match text.strip_prefix('-') {
            Some(letters) if !letters.is_empty() => letters.chars(),
            _ => return Self::Plain,
        };
        // `-qd`, `-eKEY=VALUE`: letters up to the first that takes the rest, or the next argument.
        while let Some(letter) = letters.next() {
            let known = run
                .get_arguments()
                .find(|arg| arg.get_short() == Some(letter));
            match known {
                Some(arg) if takes_value(arg) => {
                    return Self::Option {
                        takes_next: letters.as_str().is_empty(),
                    };
                }
                Some(_) => {}
                None if letter == 'h' => {}
                None => return Self::Unknown,
            }
        }
        Self::Option { takes_next: false }
    }
}

fn is_folder(text: &str) -> bool {
    let path = text.strip_suffix(":ro").unwrap_or(text);
    let is_written_as_path = path.starts_with(['/', '~'])
        || path == "."
        || path == ".."
        || path.starts_with("./")
        || path.starts_with("../");
    is_written_as_path && !path.contains(char::is_whitespace) || Path::new(path).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;

    fn words(line: &str) -> Vec<OsString> {
        let words = line.split(' ').map(|word| word.replace('+', " "));
        words.map(OsString::from).collect()
    }

    fn line(words: &[OsString]) -> String {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.to_string_lossy().replace(' ', "+"))
            .collect();
        words.join(" ")
    }

    #[test]
    fn what_is_the_agents_is_marked() {
        let mut cli = Cli::command();
        cli.build();
        for (given, marked) in [
            ("sandbox run", "sandbox run"),
            ("sandbox run claude", "sandbox run claude"),
            ("sandbox run claude .", "sandbox run claude ."),
            (
                "sandbox run claude . /tmp:ro",
                "sandbox run claude . /tmp:ro",
            ),
            ("sandbox run claude /nosuch", "sandbox run claude /nosuch"),
            (
                "sandbox run claude . -- -c x",
                "sandbox run claude . -- -c x",
            ),
            (
                "sandbox run claude --continue",
                "sandbox run claude -- --continue",
            ),
            (
                "sandbox run claude -c --name x",
                "sandbox run claude -- -c --name x",
            ),
            (
                "sandbox run claude -p hello",
                "sandbox run claude -- -p hello",
            ),
            (
                "sandbox run claude . --name x",
                "sandbox run claude . --name x",
            ),
            (
                "sandbox run --name x claude . --model opus",
                "sandbox run --name x claude . -- --model opus",
            ),
            (
                "sandbox run -e A=1 -e B=2 claude Fix+it",
                "sandbox run -e A=1 -e B=2 claude -- Fix+it",
            ),
            (
                "sandbox run -eA=1 --env=B=2 claude mcp list",
                "sandbox run -eA=1 --env=B=2 claude -- mcp list",
            ),
            ("sandbox run -qd claude", "sandbox run -qd claude"),
            (
                "sandbox run -w /tmp claude -qd",
                "sandbox run -w /tmp claude -qd",
            ),
            (
                "sandbox -D run claude --resume",
                "sandbox -D run claude -- --resume",
            ),
            ("sandbox run claude --help", "sandbox run claude --help"),
            (
                "sandbox run --nosuch claude x",
                "sandbox run --nosuch claude x",
            ),
            (
                "sandbox exec x run claude -c",
                "sandbox exec x run claude -c",
            ),
        ] {
            assert_eq!(line(&mark_agent_args(words(given), &cli)), marked);
        }
    }

    #[test]
    fn dockers_own_words_are_taken_away() {
        for (given, left) in [
            ("docker-sandbox sandbox ls -q", "docker-sandbox ls -q"),
            (
                "docker-sandbox --context sandbox -D sandbox run claude",
                "docker-sandbox run claude",
            ),
            (
                "docker-sandbox --host=x sandbox rm sandbox",
                "docker-sandbox rm sandbox",
            ),
            (
                "docker-sandbox docker-cli-plugin-metadata",
                "docker-sandbox docker-cli-plugin-metadata",
            ),
            ("docker-sandbox run sandbox", "docker-sandbox run sandbox"),
            ("docker-sandbox", "docker-sandbox"),
        ] {
            assert_eq!(line(&without_docker(words(given))), left, "{given}");
        }
        for (program, is) in [
            ("docker-sandbox", true),
            ("/a/docker-sandbox", true),
            ("sandbox", false),
        ] {
            assert_eq!(is_plugin(OsStr::new(program)), is, "{program}");
        }
    }
}
