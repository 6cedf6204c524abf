//! The exec server over a socket pair, as an ordinary user's process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's leave for tests does not reach their helpers"
)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use guest::exec::{Context, Reaper, SessionError, serve};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::Framed;
use wire::exec::{ExecErrorKind, Exit, HostCodec, STDIN_WINDOW, ToGuest, ToHost};
use wire::message::{Exec, Tty};

/// Long enough for a loaded machine; nothing here waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host's end of one program.
struct Program {
    frames: Framed<UnixStream, HostCodec>,
    server: JoinHandle<Result<(), SessionError>>,
}

fn context() -> Context {
    Context {
        reaper: Reaper::of_its_own().unwrap(),
        env: vec![
            ("FROM".into(), "sandbox".into()),
            ("BOTH".into(), "sandbox".into()),
        ],
        user: rustix::process::geteuid().as_raw().to_string(),
    }
}

fn sh(script: &str) -> Exec {
    Exec {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        ..Exec::default()
    }
}

fn with_stdin(script: &str) -> Exec {
    Exec {
        stdin: true,
        ..sh(script)
    }
}

fn in_terminal(script: &str) -> Exec {
    Exec {
        stdin: true,
        tty: Some(Tty {
            rows: 24,
            cols: 80,
            term: "xterm-test".into(),
        }),
        ..sh(script)
    }
}

fn run(exec: Exec) -> Program {
    let (host, guest) = UnixStream::pair().unwrap();
    let server = tokio::spawn(async move { serve(guest, &exec, &context()).await });
    Program {
        frames: Framed::new(host, HostCodec),
        server,
    }
}

impl Program {
    async fn next(&mut self) -> ToHost {
        let frame = timeout(PATIENCE, self.frames.next()).await;
        frame
            .expect("no frame in time")
            .expect("the guest closed")
            .unwrap()
    }

    async fn send(&mut self, frame: ToGuest) {
        self.frames.send(frame).await.unwrap();
    }

    /// Output until it holds this text.
    async fn expect(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            match self.next().await {
                ToHost::Stdout(bytes) => all += &String::from_utf8_lossy(&bytes),
                ToHost::Started | ToHost::StdinTaken(_) => {}
                other => panic!("{other:?} instead of {text:?}, after {all:?}"),
            }
        }
        all
    }

    /// Everything to the end: output, errors, how it ended.
    async fn finish(mut self) -> (String, String, Exit) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match self.next().await {
                ToHost::Stdout(bytes) => out.extend(bytes),
                ToHost::Stderr(bytes) => err.extend(bytes),
                ToHost::Started | ToHost::StdinTaken(_) => {}
                ToHost::Exit(exit) => {
                    assert!(
                        self.frames.next().await.is_none(),
                        "something follows the exit"
                    );
                    let text = |bytes| String::from_utf8(bytes).unwrap();
                    return (text(out), text(err), exit);
                }
                ToHost::Error(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn output_errors_and_exit_codes() {
    let rows = [
        ("echo out; echo err >&2", "out\n", "err\n", Exit::Code(0)),
        ("exit 7", "", "", Exit::Code(7)),
        ("kill -9 $$", "", "", Exit::Signal(9)),
        ("kill -TERM $$", "", "", Exit::Signal(15)),
        ("cat", "", "", Exit::Code(0)), // no input: it is at its end, not open
        ("printf %s \"$FROM\"", "sandbox", "", Exit::Code(0)),
        (
            "test -t 0 || test -t 1 || echo no terminal",
            "no terminal\n",
            "",
            Exit::Code(0),
        ),
    ];
    for (script, out, err, exit) in rows {
        let wanted = (out.to_owned(), err.to_owned(), exit);
        assert_eq!(run(sh(script)).finish().await, wanted, "{script}");
    }
}

#[tokio::test]
async fn variables_and_folder() {
    let dir = tempfile::tempdir().unwrap();
    let cwd = dir.path().canonicalize().unwrap().display().to_string();
    let exec = Exec {
        env: vec![
            ("BOTH".into(), "request".into()),
            ("EMPTY".into(), String::new()),
        ],
        cwd: Some(cwd.clone()),
        ..sh("echo $FROM $BOTH ${EMPTY-unset}.; pwd; test -n \"$HOME$USER$PATH\"")
    };
    let (out, _, exit) = run(exec).finish().await;
    assert_eq!(out, format!("sandbox request .\n{cwd}\n"));
    assert_eq!(exit, Exit::Code(0));
}

#[tokio::test]
async fn what_cannot_be_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plain");
    std::fs::write(&file, "").unwrap();
    let file = file.display().to_string();
    let argv = |argv: &[&str]| Exec {
        argv: argv.iter().map(|&arg| arg.to_owned()).collect(),
        ..Exec::default()
    };
    let rows = [
        (argv(&[]), ExecErrorKind::BadRequest),
        (argv(&[""]), ExecErrorKind::BadRequest),
        (argv(&["sh", "a\0b"]), ExecErrorKind::BadRequest),
        (argv(&["no-such-program"]), ExecErrorKind::NotFound),
        (argv(&["/no/such/program"]), ExecErrorKind::NotFound),
        (argv(&[&file]), ExecErrorKind::NotExecutable),
        (argv(&["/"]), ExecErrorKind::NotExecutable),
        (
            Exec {
                user: Some("nobody-here".into()),
                ..sh("")
            },
            ExecErrorKind::NoSuchUser,
        ),
        (
            Exec {
                user: Some("0:no-group".into()),
                ..sh("")
            },
            ExecErrorKind::NoSuchUser,
        ),
        (
            Exec {
                cwd: Some("/no/such".into()),
                ..sh("")
            },
            ExecErrorKind::BadCwd,
        ),
        (
            Exec {
                cwd: Some(file.clone()),
                ..sh("")
            },
            ExecErrorKind::BadCwd,
        ),
        (
            Exec {
                env: vec![("A=B".into(), String::new())],
                ..sh("")
            },
            ExecErrorKind::BadRequest,
        ),
        (
            Exec {
                env: vec![("A".into(), "\0".into())],
                ..sh("")
            },
            ExecErrorKind::BadRequest,
        ),
    ];
    for (exec, kind) in rows {
        let mut program = run(exec.clone());
        match program.next().await {
            ToHost::Error(error) => assert_eq!(error.kind, kind, "{exec:?}: {error}"),
            other => panic!("{other:?} for {exec:?}"),
        }
        assert!(program.frames.next().await.is_none());
        program.server.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn input_reaches_the_program_and_ends() {
    let mut program = run(with_stdin("cat"));
    program
        .send(ToGuest::Stdin(Bytes::from_static(b"hello ")))
        .await;
    program
        .send(ToGuest::Stdin(Bytes::from_static(b"there")))
        .await;
    program.send(ToGuest::StdinEof).await;
    let (out, _, exit) = program.finish().await;
    assert_eq!((out.as_str(), exit), ("hello there", Exit::Code(0)));
}

#[tokio::test]
async fn input_is_under_its_window_in_both_directions() {
    const TOTAL: usize = 20 << 20;
    let mut program = run(with_stdin("wc -c"));
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    let (mut sent, mut window, mut out) = (0, STDIN_WINDOW, String::new());
    let exit = loop {
        while sent < TOTAL && window >= chunk.len() {
            program.send(ToGuest::Stdin(chunk.clone())).await;
            window -= chunk.len();
            sent += chunk.len();
            if sent == TOTAL {
                program.send(ToGuest::StdinEof).await;
            }
        }
        match program.next().await {
            ToHost::StdinTaken(count) => window += count as usize,
            ToHost::Stdout(bytes) => out += std::str::from_utf8(&bytes).unwrap(),
            ToHost::Exit(exit) => break exit,
            other => assert_eq!(other, ToHost::Started),
        }
    };
    assert_eq!(
        (out.trim(), exit),
        (TOTAL.to_string().as_str(), Exit::Code(0))
    );
}

#[tokio::test]
async fn a_host_that_ignores_the_window_is_cut_off() {
    let mut program = run(with_stdin("exec sleep 1000"));
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    // Twice the window covers also what the pipe took.
    for _ in 0..2 * STDIN_WINDOW / chunk.len() {
        if program
            .frames
            .send(ToGuest::Stdin(chunk.clone()))
            .await
            .is_err()
        {
            break;
        }
    }
    let result = timeout(PATIENCE, program.server).await.unwrap().unwrap();
    assert!(matches!(result, Err(SessionError::Input(_))), "{result:?}");
}

#[tokio::test]
async fn a_program_that_closes_its_input_does_not_hold_up_the_host() {
    let mut program = run(with_stdin("exec <&-; echo closed; exec sleep 1000"));
    program.expect("closed").await;
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    let (mut sent, mut taken) = (0, 0);
    while taken < 4 * STDIN_WINDOW {
        if sent - taken + chunk.len() <= STDIN_WINDOW {
            program.send(ToGuest::Stdin(chunk.clone())).await;
            sent += chunk.len();
            continue;
        }
        match program.next().await {
            ToHost::StdinTaken(count) => taken += count as usize,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn signals_reach_a_program_that_takes_no_input_and_whose_output_nobody_reads() {
    let mut program = run(with_stdin("trap 'exit 3' INT; echo on; yes & wait"));
    program.expect("on").await;
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    for _ in 0..STDIN_WINDOW / chunk.len() {
        program.send(ToGuest::Stdin(chunk.clone())).await;
    }
    program.send(ToGuest::Signal(2)).await;
    let (_, _, exit) = program.finish().await;
    assert_eq!(exit, Exit::Code(3));
}

#[tokio::test]
async fn a_terminal_has_size_name_signals_and_one_output() {
    let script = "trap 'stty size' WINCH; stty size; echo $TERM; echo err >&2; \
                  until read -r line; do :; done; echo \"got $line\"; cat; echo end";
    let mut program = run(in_terminal(script));
    let out = program.expect("err").await;
    assert_eq!(
        out.lines().take(3).collect::<Vec<_>>(),
        ["24 80", "xterm-test", "err"]
    );
    program
        .send(ToGuest::Resize {
            rows: 50,
            cols: 132,
        })
        .await;
    program.expect("50 132").await;
    program
        .send(ToGuest::Stdin(Bytes::from_static(b"typed\r")))
        .await;
    program.expect("got typed").await;
    program.send(ToGuest::StdinEof).await; // means nothing to a terminal
    program
        .send(ToGuest::Stdin(Bytes::from_static(b"\x04")))
        .await;
    let (out, err, exit) = program.finish().await;
    assert!(out.ends_with("end\r\n"), "{out:?}");
    assert_eq!((err.as_str(), exit), ("", Exit::Code(0)));
}

#[tokio::test]
async fn control_c_is_a_signal_in_a_terminal() {
    let mut program = run(in_terminal("echo on; exec sleep 1000"));
    program.expect("on").await;
    program
        .send(ToGuest::Stdin(Bytes::from_static(b"\x03")))
        .await;
    let (_, _, exit) = program.finish().await;
    assert_eq!(exit, Exit::Signal(2));
}

#[tokio::test]
async fn the_last_output_arrives_before_the_exit() {
    for exec in [sh("seq 100000"), in_terminal("seq 100000")] {
        let (out, _, exit) = run(exec).finish().await;
        assert_eq!(out.lines().last(), Some("100000"));
        assert_eq!(out.lines().count(), 100_000);
        assert_eq!(exit, Exit::Code(0));
    }
}

#[tokio::test]
async fn a_child_left_behind_with_the_output_open_does_not_delay_the_exit() {
    let (out, _, exit) = run(sh("sleep 1000 & echo $!")).finish().await;
    assert_eq!(exit, Exit::Code(0));
    let pid = rustix::process::Pid::from_raw(out.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn when_the_host_goes_the_program_goes() {
    let stubborn = "trap '' HUP TERM INT; echo $$; while :; do sleep 1; done";
    for exec in [
        sh("echo $$; exec sleep 1000"),
        sh(stubborn),
        in_terminal("echo $$; exec sleep 1000"),
        in_terminal(stubborn),
    ] {
        let mut program = run(exec.clone());
        let out = program.expect("\n").await;
        let pid: i32 = out.trim().parse().unwrap();
        drop(program.frames);
        let result = timeout(PATIENCE, program.server).await.unwrap().unwrap();
        assert!(matches!(result, Err(SessionError::HostGone)), "{result:?}");
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let error = rustix::process::test_kill_process(pid).unwrap_err();
        assert_eq!(error, rustix::io::Errno::SRCH, "{exec:?} is still there");
    }
}

#[tokio::test]
async fn a_detached_program_outlives_its_stream() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let exec = Exec {
        detach: true,
        cwd: Some(dir.path().display().to_string()),
        ..sh("echo done > fifo")
    };
    let mut program = run(exec);
    assert_eq!(program.next().await, ToHost::Started);
    assert!(program.frames.next().await.is_none());
    program.server.await.unwrap().unwrap();
    // Only now somebody reads, so only now the program gets any further.
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(fifo));
    assert_eq!(
        timeout(PATIENCE, text).await.unwrap().unwrap().unwrap(),
        "done\n"
    );
}

#[tokio::test]
async fn one_that_talks_and_is_not_heard_holds_up_no_other() {
    let context = context();
    let start = |exec: Exec| {
        let (host, guest) = UnixStream::pair().unwrap();
        let context = context.clone();
        tokio::spawn(async move { serve(guest, &exec, &context).await });
        Framed::new(host, HostCodec)
    };
    let _chatty: Vec<_> = (0..8).map(|_| start(sh("exec yes"))).collect();
    for number in 0..20_u8 {
        let mut frames = start(sh(&format!("exit {number}")));
        let exit = timeout(PATIENCE, async {
            while let Some(frame) = frames.next().await {
                if let ToHost::Exit(exit) = frame.unwrap() {
                    return exit;
                }
            }
            panic!("no exit")
        });
        assert_eq!(exit.await.unwrap(), Exit::Code(number));
    }
}

#[tokio::test]
async fn a_storm_of_programs_ends_with_every_code_in_its_place() {
    let context = context();
    let mut running = VecDeque::new();
    for number in 0..200_u8 {
        let (host, guest) = UnixStream::pair().unwrap();
        let context = context.clone();
        tokio::spawn(async move {
            let exec = sh(&format!("exit {number}"));
            serve(guest, &exec, &context).await
        });
        running.push_back((number, Framed::new(host, HostCodec)));
    }
    while let Some((number, mut frames)) = running.pop_front() {
        let mut last = None;
        while let Some(frame) = timeout(PATIENCE, frames.next()).await.unwrap() {
            last = Some(frame.unwrap());
        }
        assert_eq!(last, Some(ToHost::Exit(Exit::Code(number))));
    }
}

#[tokio::test]
async fn garbage_ends_the_program() {
    use tokio::io::AsyncWriteExt;
    let mut program = run(sh("exec sleep 1000"));
    assert_eq!(program.next().await, ToHost::Started);
    program
        .frames
        .get_mut()
        .write_all(&[0xff; 64])
        .await
        .unwrap();
    let result = timeout(PATIENCE, program.server).await.unwrap().unwrap();
    assert!(matches!(result, Err(SessionError::Frame(_))), "{result:?}");
}
