//! Pseudo-terminals.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Uid, fchown};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use wire::message::Tty;

use super::Account;

/// The group `tty`, the same in every distribution.
const TTY_GROUP: u32 = 5;

/// Both ends of a new terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
}

impl Terminal {
    /// Makes a terminal of the host's size that belongs to the account.
    pub(super) fn open(tty: &Tty, account: &Account) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        resize(&master, tty.rows, tty.cols)?;
        erase_whole_characters(&slave)?;
        if rustix::process::geteuid().is_root() {
            let owner = Uid::from_raw(account.uid);
            fchown(&slave, Some(owner), Some(Gid::from_raw(TTY_GROUP)))?;
        }
        Ok(Self { master, slave })
    }
}

/// Tells the terminal, and by SIGWINCH its programs, the size in characters.
pub(super) fn resize(master: &impl std::os::fd::AsFd, rows: u16, cols: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(master, size)?)
}

/// Backspace in line mode must erase a whole UTF-8 character, not its last byte.
fn erase_whole_characters(slave: &OwnedFd) -> io::Result<()> {
    let mut settings = tcgetattr(slave)?;
    settings.input_modes |= InputModes::IUTF8;
    Ok(tcsetattr(slave, OptionalActions::Now, &settings)?)
}
