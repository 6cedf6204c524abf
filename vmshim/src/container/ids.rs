//! Which users of the host a container's users are.
//!
//! The agent is the caller, so that files in the workspace are both's. Everybody else, the container's
//! root before all, is a number that nobody on the host has.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use super::Error;
use crate::spec::Caller;
use crate::tool::Tool;
use rustix::thread::{Gid, Uid, UnshareFlags};

/// The agent's number, for user and group.
const AGENT: u32 = 1000;

/// How many users a container has: what a distribution's packages count on.
const COUNT: u32 = 65_536;

/// Where root's containers have their users: what no distribution gives to anybody by itself.
const OF_ROOT: u32 = 0x6000_0000;

/// Tells the new process that it has its numbers.
const GO: [u8; 1] = [1];

/// A range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

/// User numbers and group numbers, inside and outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    users: [Range; 3],
    groups: [Range; 3],
}

impl Ids {
    /// The numbers lent to this user by `/etc/subuid` and `/etc/subgid` (subuid(5)); root takes its own.
    pub fn of(caller: Caller) -> Result<Self, Error> {
        if caller.uid == 0 {
            return Ok(Self {
                users: around(OF_ROOT, caller.uid),
                groups: around(OF_ROOT, caller.gid),
            });
        }
        let name = user_name(caller.uid);
        let lent = |file: &'static str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            lent(&text, caller.uid, name.as_deref()).ok_or(Error::NoIds {
                file,
                wanted: COUNT,
            })
        };
        Ok(Self {
            users: around(lent("/etc/subuid")?, caller.uid),
            groups: around(lent("/etc/subgid")?, caller.gid),
        })
    }

    /// Runs a command as the root of a user namespace with these numbers, to its end.
    pub(super) fn run(&self, mut command: Command) -> io::Result<Output> {
        let given = self.lend(&mut command)?;
        let spawned = command.spawn();
        // The command's ends of the pipes go with it: without them nobody waits for ever.
        drop(command);
        let given = given
            .join()
            .map_err(|_| io::Error::other("the helper thread failed"))?;
        spawned
            .map_err(|error| given.err().unwrap_or(error))?
            .wait_with_output()
    }

    /// Makes a command that is about to be spawned the root of a user namespace with these numbers.
    ///
    /// Spawning returns when the program runs, which waits for the numbers; the thread that is returned
    /// gives them. It ends with the spawning.
    pub fn lend(&self, command: &mut Command) -> io::Result<JoinHandle<io::Result<()>>> {
        let (mut hears_pid, says_pid) = io::pipe()?;
        let (hears_go, mut says_go) = io::pipe()?;
        // SAFETY: between fork and exec only system calls are made, without memory being allocated.
        unsafe {
            command.pre_exec(move || {
                rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER)?;
                let pid = rustix::process::getpid().as_raw_nonzero().get();
                rustix::io::write(&says_pid, &pid.to_ne_bytes())?;
                let mut go = [0];
                rustix::io::read(&hears_go, &mut go)?;
                if go != GO {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
                rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
                Ok(())
            });
        }
        let ids = self.clone();
        Ok(std::thread::spawn(move || {
            let mut pid = [0; 4];
            hears_pid.read_exact(&mut pid)?;
            let given = ids.give(i32::from_ne_bytes(pid));
            says_go.write_all(if given.is_ok() { &GO } else { &[0] })?;
            given
        }))
    }

    fn give(&self, pid: i32) -> io::Result<()> {
        for (file, program, ranges) in [
            ("uid_map", NEWUIDMAP, &self.users),
            ("gid_map", NEWGIDMAP, &self.groups),
        ] {
            let line =
                |range: &Range| format!("{} {} {}\n", range.inside, range.outside, range.count);
            let lines: String = ranges.iter().map(line).collect();
            if rustix::process::geteuid().is_root() {
                std::fs::write(format!("/proc/{pid}/{file}"), lines)?;
                continue;
            }
            let mut command = program.command();
            command.arg(pid.to_string()).args(lines.split_whitespace());
            program.output(&mut command).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

const NEWUIDMAP: Tool = Tool {
    program: "newuidmap",
    package: "uidmap",
};
const NEWGIDMAP: Tool = Tool {
    program: "newgidmap",
    package: "uidmap",
};

/// All of a container's numbers: the caller's in the agent's place, lent ones around it.
fn around(lent: u32, caller: u32) -> [Range; 3] {
    [
        Range {
            inside: 0,
            outside: lent,
            count: AGENT,
        },
        Range {
            inside: AGENT,
            outside: caller,
            count: 1,
        },
        Range {
            inside: AGENT + 1,
            outside: lent + AGENT,
            count: COUNT - AGENT - 1,
        },
    ]
}

/// The first range of `name:first:count` lines that is large enough.
fn lent(text: &str, uid: u32, name: Option<&str>) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = Some(owner) == name || owner.parse() == Ok(uid);
        let enough = count
            .trim()
            .parse::<u32>()
            .is_ok_and(|count| count >= COUNT);
        (ours && enough).then(|| first.parse().ok()).flatten()
    })
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_numbers_rows() {
        let text =
            "other:1:70000\nsmall:5:100\nme:100000:65536\nme:300000:65536\n1001:400000:99999\n";
        let rows = [
            (7, Some("me"), Some(100_000)),
            (7, Some("small"), None),
            (1001, Some("nobody"), Some(400_000)),
            (1001, None, Some(400_000)),
            (8, None, None),
        ];
        for (uid, name, first) in rows {
            assert_eq!(lent(text, uid, name), first, "{uid} {name:?}");
        }
    }

    #[test]
    fn the_agent_is_the_caller_and_nobody_else_is_anybody() {
        let ranges = around(100_000, 1234);
        let outside = |inside: u32| {
            let range = ranges
                .iter()
                .find(|range| (range.inside..range.inside + range.count).contains(&inside))
                .unwrap();
            range.outside + inside - range.inside
        };
        assert_eq!(outside(AGENT), 1234);
        assert_eq!(
            (outside(0), outside(999), outside(1001)),
            (100_000, 100_999, 101_000)
        );
        assert_eq!(outside(65_535), 165_534);
        assert_eq!(ranges.iter().map(|range| range.count).sum::<u32>(), COUNT);
    }
}
