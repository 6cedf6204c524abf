//! A real terminal in raw mode and back.
//!
//! The test starts itself a second time, with a pseudo-terminal for its standard streams; that second
//! process attaches to a program, and the first one watches the terminal.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's leave for tests does not reach their helpers"
)]

use std::env;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use guest::exec::{Context, Reaper, serve};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::net::{UnixListener, UnixStream};
use vmshim::attach::{attach, local_tty, stdin_is_tty};
use wire::message::Exec;

/// Says to the second process that it is the second, and where the program is.
const SOCKET: &str = "VMSHIM_TEST_ATTACH_TO";

const PATIENCE: Duration = Duration::from_secs(30);

fn program() -> Exec {
    let script = "stty size; read -r line; echo \"got $line\"; read -r code; exit \"$code\"";
    Exec {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        stdin: true,
        ..Exec::default()
    }
}

/// The second process.
async fn attach_to(socket: &Path) -> u8 {
    assert!(stdin_is_tty());
    let tty = local_tty().unwrap();
    let stream = UnixStream::connect(socket).await.unwrap();
    let exec = Exec {
        tty: Some(tty),
        ..program()
    };
    attach(stream, &exec, None).await.unwrap().shell_code()
}

/// The first process's end of all that.
struct Terminal {
    master: std::fs::File,
    slave: OwnedFd,
    child: Child,
}

impl Terminal {
    /// Starts the second process and a program for it, in a terminal of 33 by 99.
    async fn start(test: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        let size = Winsize {
            ws_row: 33,
            ws_col: 99,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(SOCKET, dir.path().join("s"))
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap())
            .spawn()
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let context = Context {
            reaper: Reaper::of_its_own().unwrap(),
            env: Vec::new(),
            user: rustix::process::geteuid().as_raw().to_string(),
        };
        let exec = Exec {
            tty: Some(wire::message::Tty {
                rows: 33,
                cols: 99,
                term: "xterm".into(),
            }),
            ..program()
        };
        tokio::spawn(async move { serve(stream, &exec, &context).await });
        Self {
            master: master.into(),
            slave,
            child,
        }
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Reads until the screen shows this.
    async fn expect(&mut self, text: &'static str) {
        let mut master = self.master.try_clone().unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let (mut all, mut byte) = (Vec::new(), [0]);
            while !String::from_utf8_lossy(&all).contains(text) {
                master.read_exact(&mut byte).unwrap();
                all.extend(byte);
            }
        });
        tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap()
            .unwrap();
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the second process and says whether the terminal is as it was.
    async fn finish(mut self) -> (ExitStatus, bool) {
        let slave = self.slave.try_clone().unwrap();
        let status = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        let status = tokio::time::timeout(PATIENCE, status)
            .await
            .unwrap()
            .unwrap();
        let modes = tcgetattr(&slave).unwrap().local_modes;
        let wanted = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        (status, modes.contains(wanted))
    }
}

/// Does the second process's part, if this is it.
async fn if_second_process() {
    if let Some(socket) = env::var_os(SOCKET) {
        let code = attach_to(Path::new(&socket)).await;
        std::process::exit(code.into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_to_the_program_and_its_code_comes_back() {
    if_second_process().await;
    let mut terminal = Terminal::start("keys_go_to_the_program_and_its_code_comes_back").await;
    terminal.expect("33 99").await;
    assert!(terminal.is_raw());
    terminal.type_in("a line\r");
    terminal.expect("got a line").await;
    terminal.type_in("42\r");
    let (status, restored) = terminal.finish().await;
    assert_eq!(status.code(), Some(42));
    assert!(restored, "the terminal is still in raw mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_restores_the_terminal() {
    if_second_process().await;
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let mut terminal = Terminal::start("a_signal_restores_the_terminal").await;
        terminal.expect("33 99").await;
        assert!(terminal.is_raw());
        let pid = i32::try_from(terminal.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        let (status, restored) = terminal.finish().await;
        assert_eq!(status.code(), Some(code));
        assert!(
            restored,
            "the terminal is still in raw mode after {signal:?}"
        );
    }
}
