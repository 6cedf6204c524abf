//! The proxy settings of programs that do not get their variables from us: login shells, cron, apt,
//! whatever sudo starts.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::environment::PROXY;
use crate::files;
use crate::trust::BUNDLE;

/// pam_env gives up on a longer line, and with it on the whole file.
const MAX_ENVIRONMENT_LINE: usize = 1000;

/// Writes every place that the template has a reader for.
pub(super) fn write(root: &Path, env: &[(String, String)]) -> io::Result<()> {
    let at = |path| files::under(root, path);
    files::replace_block(&at("/etc/environment"), &environment(env), 0o644)?;
    files::replace(&at("/etc/profile.d/sandbox.sh"), profile(env), 0o644)?;
    if at("/etc/apt/apt.conf.d").is_dir() {
        files::replace(&at("/etc/apt/apt.conf.d/90sandbox"), apt(), 0o644)?;
    }
    if at("/etc/sudoers.d").is_dir() {
        files::replace(&at("/etc/sudoers.d/sandbox-proxy"), sudoers(env), 0o440)?;
    }
    Ok(())
}

/// pam_env(8): no escapes, so what would need one is left out.
fn environment(env: &[(String, String)]) -> String {
    lines(env, |name, value| {
        let line = format!("{name}=\"{value}\"\n");
        let plain = !value.contains(['"', '\\', '\n', '#']);
        (plain && line.len() <= MAX_ENVIRONMENT_LINE).then_some(line)
    })
}

fn profile(env: &[(String, String)]) -> String {
    lines(env, |name, value| {
        let quoted = value.replace('\'', r"'\''");
        is_shell_name(name).then(|| format!("export {name}='{quoted}'\n"))
    })
}

fn is_shell_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// apt runs under sudo mostly, and its methods as another user.
fn apt() -> String {
    format!(
        "// Written by the sandbox at each start.\n\
         Acquire::http::Proxy \"{PROXY}\";\n\
         Acquire::https::Proxy \"{PROXY}\";\n\
         Acquire::https::CAInfo \"{BUNDLE}\";\n"
    )
}

fn sudoers(env: &[(String, String)]) -> String {
    let mut text = "# Written by the sandbox at each start.\n".to_owned();
    for (name, _) in env.iter().filter(|(name, _)| is_shell_name(name)) {
        let _ = writeln!(text, "Defaults env_keep += \"{name}\"");
    }
    text
}

fn lines(env: &[(String, String)], line: impl Fn(&str, &str) -> Option<String>) -> String {
    env.iter()
        .filter_map(|(name, value)| line(name, value))
        .collect()
}
