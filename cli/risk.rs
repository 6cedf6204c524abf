//! Files of a workspace that the host's own programs run, or obey, without anybody starting them.
//!
//! An agent may write all of these. The list is of what is read on the way to harmless-looking acts: a commit, opening
//! the folder in an editor, entering it in a shell, starting an agent or a build in it.

use std::ffi::OsStr;
use std::path::{Component, Path};

/// Who runs or obeys a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Risk {
    Git,
    Editor,
    Agent,
    Shell,
    /// A build, a test run or an installation, which people start without reading these first.
    Build,
    /// Marked as a program.
    Program,
}

impl Risk {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Git => "git runs or obeys it",
            Self::Editor => "editors obey it",
            Self::Agent => "agents obey it",
            Self::Shell => "shells and their tools run it on entering the folder",
            Self::Build => "builds run it",
            Self::Program => "it is executable",
        }
    }
}

/// Files by their own name, wherever they are.
const NAMES: [(Risk, &[&str]); 4] = [
    (
        Risk::Editor,
        &[
            ".exrc",
            ".vimrc",
            ".nvimrc",
            ".nvim.lua",
            ".lvimrc",
            ".dir-locals.el",
            ".dir-locals-2.el",
            ".ycm_extra_conf.py",
            ".clangd",
        ],
    ),
    (
        Risk::Agent,
        &[
            "CLAUDE.md",
            "CLAUDE.local.md",
            "AGENTS.md",
            "AGENT.md",
            "GEMINI.md",
            ".claude.json",
            ".mcp.json",
            "mcp.json",
            "opencode.json",
            "opencode.jsonc",
            ".cursorrules",
            ".windsurfrules",
            ".clinerules",
            ".aider.conf.yml",
            "copilot-instructions.md",
        ],
    ),
    (
        Risk::Shell,
        &[
            ".envrc",
            ".mise.toml",
            "mise.toml",
            ".tool-versions",
            ".autoenv",
            ".autoenv.zsh",
            ".rvmrc",
            ".nvmrc",
            ".python-version",
            "flake.nix",
            "shell.nix",
            "devbox.json",
        ],
    ),
    (
        Risk::Build,
        &[
            "Makefile",
            "GNUmakefile",
            "makefile",
            "justfile",
            "Justfile",
            "Taskfile.yml",
            "CMakeLists.txt",
            "meson.build",
            "build.rs",
            "build.gradle",
            "build.gradle.kts",
            "settings.gradle",
            "pom.xml",
            "package.json",
            ".npmrc",
            ".yarnrc.yml",
            ".pnpmfile.cjs",
            "setup.py",
            "setup.cfg",
            "pyproject.toml",
            "conftest.py",
            "noxfile.py",
            "tox.ini",
            "sitecustomize.py",
            "Rakefile",
            "Gemfile",
            "Dockerfile",
            "compose.yaml",
            "docker-compose.yml",
            ".pre-commit-config.yaml",
            "lefthook.yml",
            ".gitlab-ci.yml",
            "Jenkinsfile",
            "rust-toolchain.toml",
            "rust-toolchain",
            ".bazelrc",
            "BUILD.bazel",
        ],
    ),
];

/// Folders whose every file counts.
const FOLDERS: [(Risk, &[&str]); 4] = [
    (Risk::Git, &["hooks", ".githooks", ".husky"]),
    (
        Risk::Editor,
        &[
            ".vscode",
            ".idea",
            ".zed",
            ".fleet",
            ".vim",
            ".devcontainer",
            ".vs",
            ".nova",
        ],
    ),
    (
        Risk::Agent,
        &[
            ".claude",
            ".codex",
            ".gemini",
            ".cursor",
            ".copilot",
            ".opencode",
            ".kiro",
            ".amazonq",
            ".windsurf",
            ".continue",
            ".agents",
        ],
    ),
    (
        Risk::Build,
        &[".cargo", ".mvn", ".yarn", ".github", ".circleci", ".direnv"],
    ),
];

/// Who would run or obey the file at `path`, relative to the shared folder; `mode` as stat(2) has it.
pub(crate) fn of(path: &Path, mode: u32) -> Option<Risk> {
    if is_in_git(path) || path.file_name().is_some_and(is_gits) {
        return Some(Risk::Git);
    }
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let folders: Vec<&str> = path
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|part| part.as_os_str().to_str())
        .collect();
    let by_folder = FOLDERS
        .iter()
        .find(|(_, all)| all.contains(&name) || folders.iter().any(|folder| all.contains(folder)));
    let by_name = NAMES.iter().find(|(_, all)| all.contains(&name));
    let by_ending = [
        (".code-workspace", Risk::Editor),
        (".sublime-project", Risk::Editor),
        (".iml", Risk::Editor),
    ]
    .into_iter()
    .find(|(ending, _)| name.ends_with(ending));
    let is_program = rustix::fs::FileType::from_raw_mode(mode).is_file() && mode & 0o111 != 0;
    by_folder
        .map(|(risk, _)| *risk)
        .or(by_name.map(|(risk, _)| *risk))
        .or(by_ending.map(|(_, risk)| risk))
        .or(is_program.then_some(Risk::Program))
}

fn is_gits(name: &OsStr) -> bool {
    [".git", ".gitmodules", ".gitattributes", ".gitconfig"]
        .iter()
        .any(|gits| name == *gits)
}

fn is_in_git(path: &Path) -> bool {
    path.components()
        .any(|part| part == Component::Normal(OsStr::new(".git")))
}

/// Whether `path` is in a `.git` folder and neither run nor obeyed there: objects, the index, logs.
pub(crate) fn is_gits_own(path: &Path) -> bool {
    let mut parts = path
        .components()
        .skip_while(|part| part.as_os_str() != ".git");
    if parts.next().is_none() {
        return false;
    }
    let inside: Vec<&OsStr> = parts.map(Component::as_os_str).collect();
    let Some((name, folders)) = inside.split_last() else {
        return false; // `.git` itself
    };
    let is_hook = folders.iter().any(|folder| *folder == "hooks");
    let is_config = [
        "config",
        "config.worktree",
        "attributes",
        "commondir",
        "gitdir",
    ]
    .iter()
    .any(|config| name == config);
    !is_hook && !is_config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_what() {
        const FILE: u32 = 0o100_644;
        const PROGRAM: u32 = 0o100_755;
        const LINK: u32 = 0o120_777;
        for (path, mode, risk) in [
            (".git/hooks/pre-commit", FILE, Some(Risk::Git)),
            ("sub/.git/config", FILE, Some(Risk::Git)),
            (".git", FILE, Some(Risk::Git)),
            (".gitattributes", FILE, Some(Risk::Git)),
            (".husky/pre-push", FILE, Some(Risk::Git)),
            (".vscode/tasks.json", FILE, Some(Risk::Editor)),
            (".idea", LINK, Some(Risk::Editor)),
            ("x.code-workspace", FILE, Some(Risk::Editor)),
            ("a/b/.exrc", FILE, Some(Risk::Editor)),
            (".claude/settings.json", FILE, Some(Risk::Agent)),
            ("docs/AGENTS.md", FILE, Some(Risk::Agent)),
            (".envrc", FILE, Some(Risk::Shell)),
            ("package.json", FILE, Some(Risk::Build)),
            (".github/workflows/ci.yml", FILE, Some(Risk::Build)),
            ("bin/tool", PROGRAM, Some(Risk::Program)),
            ("bin/link", LINK, None),
            ("src/main.rs", FILE, None),
            ("hooksmith.md", FILE, None),
        ] {
            assert_eq!(of(Path::new(path), mode), risk, "{path}");
        }
    }

    #[test]
    fn gits_own_files_are_told_from_those_that_it_obeys() {
        for (path, own) in [
            ("/w/.git", false),
            ("/w/.git/index", true),
            ("/w/.git/objects/aa/bb", true),
            ("/w/.git/hooks/pre-commit", false),
            ("/w/.git/config", false),
            ("/w/.git/info/attributes", false),
            ("/w/.git/modules/sub/config", false),
            ("/w/.git/modules/sub/hooks/x", false),
            ("/w/.git/modules/sub/index", true),
            ("/w/src/index", false),
        ] {
            assert_eq!(is_gits_own(Path::new(path)), own, "{path}");
        }
    }
}
