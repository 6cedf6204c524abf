//! From a request to a running program.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Gid, Uid};
use rustix::process::{chdir, geteuid, ioctl_tiocsctty, setsid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_res_uid};
use wire::message::Exec;

use super::reaper::silent;
use super::terminal::Terminal;
use super::{Account, Child, Context, StartError};

/// Where programs are looked for if nobody sets `PATH`.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that runs, and the host's end of its terminal.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) master: Option<OwnedFd>,
}

/// Starts what the request asks for.
pub(super) fn start(exec: &Exec, context: &Context) -> Result<Started, StartError> {
    let account = context.account(exec)?;
    let env = environment(exec, context, &account)?;
    let cwd = working_directory(exec, &account)?;
    let name = exec.argv.first().filter(|name| !name.is_empty());
    let name = name.ok_or(StartError::NoProgram)?;
    if let Some(text) = exec
        .argv
        .iter()
        .chain([&cwd])
        .find(|text| text.contains('\0'))
    {
        return Err(StartError::BadText(text.clone()));
    }
    let path = env.iter().rev().find(|(key, _)| key == "PATH");
    let path = path.map_or(PATH, |(_, value)| value);
    let mut command = Command::new(find_program(name, path, Path::new(&cwd))?);
    command
        .arg0(name)
        .args(exec.argv.get(1..).unwrap_or_default());
    command.env_clear().envs(env);
    let master = connect(&mut command, exec, &account)?;
    become_user(&mut command, account, cwd, master.is_some())?;
    let child = context.reaper.spawn(&mut command);
    let child = child.map_err(|error| blame(name, error))?;
    Ok(Started { child, master })
}

/// The sandbox's variables, then the user's, then the request's; later ones win.
fn environment(
    exec: &Exec,
    context: &Context,
    account: &Account,
) -> Result<Vec<(String, String)>, StartError> {
    let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut env = vec![own("PATH", PATH)];
    env.extend(context.env.iter().cloned());
    env.push(own("HOME", &account.home));
    env.push(own("USER", &account.name));
    env.push(own("LOGNAME", &account.name));
    env.push(own("SHELL", &account.shell));
    if let Some(tty) = &exec.tty {
        env.push(own("TERM", &tty.term));
    }
    env.extend(exec.env.iter().cloned());
    let bad = |key: &str, value: &str| {
        key.is_empty() || key.contains(['=', '\0']) || value.contains('\0')
    };
    match env.iter().find(|(key, value)| bad(key, value)) {
        Some((key, _)) => Err(StartError::BadText(key.clone())),
        None => Ok(env),
    }
}

fn working_directory(exec: &Exec, account: &Account) -> Result<String, StartError> {
    match &exec.cwd {
        Some(cwd) if Path::new(cwd).is_dir() => Ok(cwd.clone()),
        Some(cwd) => Err(StartError::BadCwd(cwd.clone())),
        None if Path::new(&account.home).is_dir() => Ok(account.home.clone()),
        None => Ok("/".to_owned()),
    }
}

/// What a shell does with a command's name: the first that can be executed, else the first there is.
pub(crate) fn find_program(name: &str, path: &str, cwd: &Path) -> Result<PathBuf, StartError> {
    if name.contains('/') {
        return Ok(cwd.join(name)); // the kernel knows whether it can be executed
    }
    let files = || {
        path.split(':')
            .map(|folder| cwd.join(folder).join(name))
            .filter_map(|file| Some((fs::metadata(&file).ok()?, file)))
            .filter(|(meta, _)| meta.is_file())
    };
    files()
        .find(|(meta, _)| meta.permissions().mode() & 0o111 != 0)
        .or_else(|| files().next())
        .map(|(_, file)| file)
        .ok_or_else(|| StartError::NotFound(name.to_owned()))
}

/// Gives the program its standard streams. Returns the other end of a terminal.
fn connect(
    command: &mut Command,
    exec: &Exec,
    account: &Account,
) -> Result<Option<OwnedFd>, StartError> {
    if exec.detach {
        silent(command);
        return Ok(None);
    }
    if let Some(tty) = &exec.tty {
        let terminal = Terminal::open(tty, account)?;
        command.stdin(terminal.slave.try_clone()?);
        command.stdout(terminal.slave.try_clone()?);
        command.stderr(terminal.slave);
        return Ok(Some(terminal.master));
    }
    let input = if exec.stdin {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    command.stdin(input);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(None)
}

/// Arranges for what the new process does to itself before it becomes the program.
fn become_user(
    command: &mut Command,
    account: Account,
    cwd: String,
    terminal: bool,
) -> Result<(), StartError> {
    let cwd = std::ffi::CString::new(OsString::from(cwd).into_encoded_bytes())
        .map_err(io::Error::from)?;
    let uid = Uid::from_raw(account.uid);
    let gid = Gid::from_raw(account.gid);
    let groups: Vec<Gid> = account.groups.into_iter().map(Gid::from_raw).collect();
    let setup = move || {
        setsid()?;
        hear_keyboard_signals();
        if terminal {
            ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        if geteuid().is_root() {
            set_thread_groups(&groups)?;
            set_thread_gid(gid)?;
            set_thread_res_uid(uid, uid, uid)?;
        }
        chdir(&cwd)?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor
    // takes a lock, and what it captured was allocated before the fork.
    unsafe { command.pre_exec(setup) };
    Ok(())
}

/// A signal that is ignored stays so in the next program; one started for a terminal must hear ^C,
/// whatever started us.
fn hear_keyboard_signals() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: the default action is no function of ours that could be wrong.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// What the kernel's refusal means. It comes from the new process, from any of its steps.
fn blame(program: &str, error: io::Error) -> StartError {
    let program = program.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StartError::NotFound(program),
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => StartError::Failed(error),
        _ => StartError::NotExecutable {
            program,
            source: error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_like_in_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        file("a/tool", 0o644);
        file("b/tool", 0o755);
        file("b/plain", 0o644);
        fs::create_dir_all(dir.path().join("a/folder")).unwrap();
        let rows = [
            ("tool", "a:b", Some("b/tool")),
            ("tool", "a", Some("a/tool")),
            ("plain", "a:b", Some("b/plain")),
            ("folder", "a:b", None),
            ("tool", "", None),
            ("missing", "a:b", None),
            ("./a/tool", "", Some("./a/tool")),
            ("a/missing", "", Some("a/missing")),
        ];
        for (name, path, wanted) in rows {
            let found = find_program(name, path, dir.path()).ok();
            assert_eq!(
                found,
                wanted.map(|w| dir.path().join(w)),
                "{name} in {path}"
            );
        }
    }
}
