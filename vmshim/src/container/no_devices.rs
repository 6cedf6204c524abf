//! Unpacking without making device nodes, which no user namespace may.
//!
//! The program that unpacks gives up at the first that it cannot make. So the kernel tells it, by a
//! seccomp filter, that it has made them. A container's `/dev` is mounted over that of the template
//! anyway.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    sock_filter, sock_fprog,
};

/// Offset of the system call's number in `struct seccomp_data`.
const NUMBER: u32 = 0;

/// Success, without the system call.
const PRETEND: u32 = SECCOMP_RET_ERRNO;

/// Has `command` run with the filter.
pub(super) fn pretend(command: &mut Command) {
    let program = [
        line(BPF_LD | BPF_W | BPF_ABS, 0, NUMBER),
        line(BPF_JMP | BPF_JEQ | BPF_K, 2, number(libc::SYS_mknod)),
        line(BPF_JMP | BPF_JEQ | BPF_K, 1, number(libc::SYS_mknodat)),
        line(BPF_RET | BPF_K, 0, SECCOMP_RET_ALLOW),
        line(BPF_RET | BPF_K, 0, PRETEND),
    ];
    // SAFETY: between fork and exec only system calls are made, without memory being allocated.
    unsafe {
        command.pre_exec(move || install(program));
    }
}

fn install(mut program: [sock_filter; 5]) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let filter = sock_fprog {
        len: 5,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` and the program that it points to are valid; the kernel copies both.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn line(code: u32, skip_if_equal: u8, operand: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: skip_if_equal,
        jf: 0,
        k: operand,
    }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_made_only_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-e", "-c", "mknod device c 1 3; echo x > file"]);
        pretend(command.current_dir(dir.path()));
        assert!(command.status().unwrap().success());
        assert!(dir.path().join("file").exists());
        assert!(!dir.path().join("device").exists());
    }
}
