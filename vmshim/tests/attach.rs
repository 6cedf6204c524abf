//! The caller's end of a program against the guest's own exec server, without a VM.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's leave for tests does not reach their helpers"
)]

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use futures::{SinkExt, StreamExt};
use guest::exec::{Context, Reaper, SessionError, serve};
use tokio::io::{AsyncReadExt, DuplexStream, duplex, sink};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::Framed;
use vmshim::attach::{AttachError, DetachKeys, Event, Input, converse, started};
use wire::exec::{ExecErrorKind, Exit, GuestCodec, STDIN_WINDOW, ToHost};
use wire::message::{Exec, Tty};

/// Long enough for a loaded machine; nothing here waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn sh(script: &str) -> Exec {
    Exec {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        stdin: true,
        ..Exec::default()
    }
}

/// A program in the guest, and the guest's verdict on the session.
fn start(exec: Exec) -> (UnixStream, JoinHandle<Result<(), SessionError>>) {
    let (host, guest) = UnixStream::pair().unwrap();
    let context = Context {
        reaper: Reaper::of_its_own().unwrap(),
        env: Vec::new(),
        user: rustix::process::geteuid().as_raw().to_string(),
    };
    let server = tokio::spawn(async move { serve(guest, &exec, &context).await });
    (host, server)
}

/// Nothing ever happens.
fn never() -> impl Stream<Item = Event> + Unpin {
    stream::pending()
}

/// What the test sends happens.
fn events() -> (mpsc::Sender<Event>, impl Stream<Item = Event> + Unpin) {
    let (sender, mut receiver) = mpsc::channel(8);
    (sender, stream::poll_fn(move |cx| receiver.poll_recv(cx)))
}

/// Reads until the output holds this text.
async fn expect(out: &mut DuplexStream, text: &str) {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(text) {
        let read = timeout(PATIENCE, out.read_buf(&mut all)).await;
        assert_ne!(read.unwrap().unwrap(), 0, "no {text:?} in {all:?}");
    }
}

#[tokio::test]
async fn output_errors_and_exit_arrive() {
    let rows = [
        (
            "echo out; echo err >&2; exit 7",
            "out\n",
            "err\n",
            Exit::Code(7),
        ),
        ("kill -9 $$", "", "", Exit::Signal(9)),
        ("cat", "", "", Exit::Code(0)),
    ];
    for (script, out, err, exit) in rows {
        let (stream, _server) = start(sh(script));
        let (input, receiver) = mpsc::channel(1);
        drop(input);
        let (mut got_out, mut got_err) = (Vec::new(), Vec::new());
        let got = converse(
            stream,
            Some(receiver.into()),
            &mut got_out,
            &mut got_err,
            never(),
        )
        .await;
        assert_eq!(got.unwrap(), exit, "{script}");
        assert_eq!(String::from_utf8(got_out).unwrap(), out);
        assert_eq!(String::from_utf8(got_err).unwrap(), err);
    }
}

#[tokio::test]
async fn a_hundred_megabytes_pass_in_both_directions_unchanged() {
    const CHUNK: usize = 32 * 1024;
    const COUNT: usize = 100 * 1024 * 1024 / CHUNK;
    let (stream, _server) = start(sh("cat"));
    let (input, receiver) = mpsc::channel(1);
    let chunk = |n: usize| Bytes::from(vec![(n % 251) as u8; CHUNK]);
    tokio::spawn(async move {
        for n in 0..COUNT {
            input.send(chunk(n)).await.unwrap();
        }
    });
    let (out, mut reader) = duplex(1 << 16);
    let check = tokio::spawn(async move {
        let mut got = vec![0; CHUNK];
        for n in 0..COUNT {
            reader.read_exact(&mut got).await.unwrap();
            assert!(got == chunk(n), "chunk {n} differs");
        }
        assert_eq!(reader.read(&mut got).await.unwrap(), 0);
    });
    let exit = converse(stream, Some(receiver.into()), out, sink(), never()).await;
    assert_eq!(exit.unwrap(), Exit::Code(0));
    check.await.unwrap();
}

#[tokio::test]
async fn a_signal_gets_through_while_nobody_reads_the_output() {
    let (stream, _server) = start(sh("trap 'exit 3' INT; echo on; yes & wait"));
    let (_input, receiver) = mpsc::channel(1);
    let (out, mut reader) = duplex(1 << 12);
    let (happen, next) = events();
    let program = tokio::spawn(converse(stream, Some(receiver.into()), out, sink(), next));
    expect(&mut reader, "on").await;
    happen.send(Event::Signalled(2)).await.unwrap();
    // Now the output is read, to get at the end of it.
    tokio::spawn(async move { tokio::io::copy(&mut reader, &mut sink()).await });
    let exit = timeout(PATIENCE, program).await.unwrap().unwrap();
    assert_eq!(exit.unwrap(), Exit::Code(3));
}

#[tokio::test]
async fn a_new_size_reaches_the_terminal_and_the_end_of_this_process_ends_the_program() {
    let tty = Tty {
        rows: 24,
        cols: 80,
        term: "xterm".into(),
    };
    let script = "trap 'stty size' WINCH; stty size; while :; do read -r line; done";
    let exec = Exec {
        tty: Some(tty),
        ..sh(script)
    };
    let (stream, server) = start(exec);
    let (_input, receiver) = mpsc::channel(1);
    let (out, mut reader) = duplex(1 << 12);
    let (happen, next) = events();
    let program = tokio::spawn(converse(stream, Some(receiver.into()), out, sink(), next));
    expect(&mut reader, "24 80").await;
    let resized = Event::Resized {
        rows: 50,
        cols: 132,
    };
    happen.send(resized).await.unwrap();
    expect(&mut reader, "50 132").await;
    happen.send(Event::Ended(15)).await.unwrap();
    let exit = timeout(PATIENCE, program).await.unwrap().unwrap();
    assert_eq!(exit.unwrap(), Exit::Signal(15));
    let verdict = timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(
        matches!(verdict, Err(SessionError::HostGone)),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn a_closed_output_ends_the_program_as_a_pipe_would() {
    let (stream, server) = start(sh("exec yes"));
    let (out, reader) = duplex(1 << 12);
    drop(reader);
    let exit = converse(stream, None, out, sink(), never()).await;
    assert_eq!(exit.unwrap(), Exit::Signal(13));
    let verdict = timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(verdict.is_err(), "the program goes on without a reader");
}

#[tokio::test]
async fn a_program_that_is_left_runs_on() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let done = dir.path().join("done");
    let script = format!(
        "echo on; read -r line; echo $line; while [ ! -e {} ]; do sleep 0.1; done; yes | head -c 300000; echo $line > {}",
        ready.display(),
        done.display()
    );
    let tty = Some(Tty {
        rows: 24,
        cols: 80,
        term: "xterm".into(),
    });
    let (stream, server) = start(Exec { tty, ..sh(&script) });
    let (input, receiver) = mpsc::channel(1);
    let input_with_keys = Input::new(receiver, DetachKeys::default());
    let (mut reader, out) = duplex(1 << 16);
    let program = tokio::spawn(converse(
        stream,
        Some(input_with_keys),
        out,
        sink(),
        never(),
    ));
    expect(&mut reader, "on").await;
    input.send(Bytes::from_static(b"kept\r")).await.unwrap();
    expect(&mut reader, "kept\r\nkept").await;
    input.send(Bytes::from_static(b"\x10\x11")).await.unwrap();
    let left = timeout(PATIENCE, program).await.unwrap().unwrap();
    assert!(matches!(left, Err(AttachError::Detached)), "{left:?}");
    assert!(!server.is_finished());
    std::fs::write(ready, "").unwrap();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(done).unwrap(), "kept\n");
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let exec = Exec {
        argv: vec!["no-such-program".into()],
        ..Exec::default()
    };
    let (stream, _server) = start(exec);
    let error = converse(stream, None, sink(), sink(), never())
        .await
        .unwrap_err();
    let AttachError::Exec(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.kind, ExecErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "`no-such-program` is not found in the sandbox"
    );
}

#[tokio::test]
async fn a_detached_program_is_seen_to_start_or_not() {
    let detached = |program: &str| Exec {
        argv: vec![program.into()],
        detach: true,
        ..Exec::default()
    };
    let (stream, server) = start(detached("true"));
    started(stream).await.unwrap();
    server.await.unwrap().unwrap();
    let (stream, _server) = start(detached("no-such-program"));
    let error = started(stream).await.unwrap_err();
    assert!(matches!(error, AttachError::Exec(_)), "{error:?}");
}

/// A guest that says this and closes.
async fn against(frames: Vec<ToHost>) -> AttachError {
    let (host, guest) = UnixStream::pair().unwrap();
    let mut guest = Framed::new(guest, GuestCodec);
    for frame in frames {
        guest.send(frame).await.unwrap();
    }
    guest.close().await.unwrap();
    tokio::spawn(async move { while guest.next().await.is_some() {} });
    converse(host, None, sink(), sink(), never())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_guest_that_misbehaves_is_an_error() {
    let gone = against(vec![ToHost::Started]).await;
    assert!(matches!(gone, AttachError::Gone), "{gone:?}");
    for count in [1, u32::MAX] {
        let overdrawn = against(vec![ToHost::StdinTaken(count)]).await;
        assert!(matches!(overdrawn, AttachError::Window), "{overdrawn:?}");
    }
}

#[tokio::test]
async fn no_more_input_is_sent_than_the_window() {
    let (host, guest) = UnixStream::pair().unwrap();
    let mut guest = Framed::new(guest, GuestCodec);
    let (input, receiver) = mpsc::channel(1);
    let feeding = tokio::spawn(async move {
        loop {
            input.send(Bytes::from(vec![0; 32 * 1024])).await.unwrap();
        }
    });
    let program = tokio::spawn(converse(
        host,
        Some(receiver.into()),
        sink(),
        sink(),
        never(),
    ));
    let mut received = 0;
    while received < STDIN_WINDOW {
        match timeout(PATIENCE, guest.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
        {
            wire::exec::ToGuest::Stdin(bytes) => received += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, STDIN_WINDOW);
    // Nothing more until some of it is taken, and then exactly as much.
    tokio::task::yield_now().await;
    guest.send(ToHost::StdinTaken(32 * 1024)).await.unwrap();
    let next = timeout(PATIENCE, guest.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        next,
        wire::exec::ToGuest::Stdin(Bytes::from(vec![0; 32 * 1024]))
    );
    guest.send(ToHost::Exit(Exit::Code(0))).await.unwrap();
    assert_eq!(program.await.unwrap().unwrap(), Exit::Code(0));
    feeding.abort();
}
