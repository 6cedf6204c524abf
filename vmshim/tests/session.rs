//! The supervisor's end of the control port against scripted guests, without a VM.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's leave for tests does not reach their helpers"
)]

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::UnixListener;
use vmshim::guest::{GuestError, Session};
use wire::message::{self, Change, Configure, Deed, Exec, Hello, Reply, Request, Timings};
use wire::mux::{self, Side, Stream};
use wire::{PROTOCOL, resync};

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with room for a socket.
fn socket() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    (dir, socket)
}

fn hello(protocol: u32) -> Reply {
    Reply::Hello(Hello {
        protocol,
        kernel: "6.1".into(),
        configured: false,
        timings: Timings::default(),
    })
}

/// What the VMM and the guest do: for each host process, answer its streams by this function.
fn guest(listener: UnixListener, answer: impl AsyncFn(Stream) + Clone + 'static) {
    tokio::task::spawn_local(async move {
        loop {
            let (port, _) = listener.accept().await.unwrap();
            let mut port = BufStream::new(port);
            if resync::io::guest(&mut port).await.is_err() {
                continue;
            }
            let (_, mut acceptor, driver) = mux::new(port, Side::Guest);
            tokio::task::spawn_local(driver.run());
            while let Ok(stream) = acceptor.accept().await {
                let answer = answer.clone();
                tokio::task::spawn_local(async move { answer(stream).await });
            }
        }
    });
}

/// Runs a test on one thread, where scripts need not be `Send`.
async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}

fn edit() -> Change {
    Change {
        path: "/srv/file".into(),
        deed: Deed::Modified,
    }
}

#[tokio::test]
async fn a_guest_is_greeted_configured_used_and_stopped() {
    local(async {
        let (_dir, socket) = socket();
        let timings = Timings {
            ready_ms: Some(7),
            ..Timings::default()
        };
        guest(
            UnixListener::bind(&socket).unwrap(),
            async move |mut stream| {
                match message::read(&mut stream).await.unwrap() {
                    Request::Boot => {
                        message::write(&mut stream, &hello(PROTOCOL)).await.unwrap();
                        let config: Configure = message::read(&mut stream).await.unwrap();
                        assert_eq!(config.hostname, "box");
                        message::write(&mut stream, &Reply::Ready(timings))
                            .await
                            .unwrap();
                    }
                    Request::Exec(exec) => {
                        assert_eq!(exec.argv, ["ls"]);
                        stream.write_all(b"frames").await.unwrap();
                    }
                    Request::Reach { port: 80 } => {
                        message::write(&mut stream, &Reply::Reached).await.unwrap();
                        stream.write_all(b"bytes").await.unwrap();
                    }
                    Request::Reach { port } => {
                        let sentence = format!("nothing on \u{1b}{port}");
                        let failed = Reply::Failed(sentence);
                        message::write(&mut stream, &failed).await.unwrap();
                    }
                    Request::Changed(changes) => {
                        assert_eq!(changes, [edit()]);
                        message::write(&mut stream, &Reply::Told).await.unwrap();
                    }
                    Request::Shutdown { grace_ms } => {
                        assert_eq!(grace_ms, 1500);
                        message::write(&mut stream, &Reply::Stopping).await.unwrap();
                    }
                }
                stream.shutdown().await.unwrap();
            },
        );
        // Twice: a second supervisor on the same port is heard as well as the first.
        for _ in 0..2 {
            let session = Session::connect(&socket, PATIENCE).await.unwrap();
            let waiting = session.hello().await.unwrap();
            assert_eq!(waiting.hello.kernel, "6.1");
            let config = Configure {
                hostname: "box".into(),
                ..Configure::default()
            };
            assert_eq!(waiting.configure(&config).await.unwrap(), timings);
            let exec = Exec {
                argv: vec!["ls".into()],
                ..Exec::default()
            };
            let mut text = String::new();
            let mut stream = session.exec(&exec).await.unwrap();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "frames");
            let mut text = String::new();
            let mut stream = session.reach(80).await.unwrap();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "bytes");
            let error = session.reach(81).await.unwrap_err();
            assert_eq!(error.to_string(), "nothing on \u{fffd}81");
            session.changed(&[edit()]).await.unwrap();
            session.shutdown(Duration::from_millis(1500)).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_guest_can_do_wrong() {
    type Check = fn(&GuestError) -> bool;
    let rows: [(&[Reply], Check, &str); 4] = [
        (
            &[hello(PROTOCOL + 1)],
            |error| matches!(error, GuestError::Protocol(found) if *found == PROTOCOL + 1),
            "the guest speaks protocol 3, and this program speaks 2",
        ),
        (
            &[Reply::Stopping],
            |error| matches!(error, GuestError::Unexpected),
            "the guest gave an answer to another question",
        ),
        (
            &[
                hello(PROTOCOL),
                Reply::Failed("the sandbox\x1b[2J is full".into()),
            ],
            |error| matches!(error, GuestError::Refused(_)),
            "the sandbox\u{fffd}[2J is full",
        ),
        (
            &[hello(PROTOCOL)],
            |error| matches!(error, GuestError::Message(_)),
            "the guest cannot be understood",
        ),
    ];
    for (replies, is_wanted, text) in rows {
        let error = local(against(replies.to_vec())).await;
        assert!(is_wanted(&error), "{error:?}");
        assert_eq!(error.to_string(), text);
    }
}

/// Boots a guest that says this and then closes the stream.
async fn against(replies: Vec<Reply>) -> GuestError {
    let (_dir, socket) = socket();
    guest(
        UnixListener::bind(&socket).unwrap(),
        async move |mut stream| {
            let _request: Request = message::read(&mut stream).await.unwrap();
            for reply in &replies {
                message::write(&mut stream, reply).await.unwrap();
            }
            stream.shutdown().await.unwrap();
            // Until the host has gone, so that what it sends is taken.
            tokio::io::copy(&mut stream, &mut tokio::io::sink())
                .await
                .ok();
        },
    );
    let session = Session::connect(&socket, PATIENCE).await.unwrap();
    match session.hello().await {
        Ok(waiting) => waiting.configure(&Configure::default()).await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_or_nobody_answering_is_silence() {
    let patience = Duration::from_secs(3);
    let (_dir, socket) = socket();
    let error = Session::connect(&socket, patience).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest did not answer within 3 s");
    let _listening = UnixListener::bind(&socket).unwrap();
    let error = Session::connect(&socket, patience).await.unwrap_err();
    assert!(matches!(error, GuestError::Silent(_)), "{error:?}");
}

#[tokio::test]
async fn a_session_ends_when_the_vm_does() {
    local(async {
        let (_dir, socket) = socket();
        let listener = UnixListener::bind(&socket).unwrap();
        let vm = tokio::task::spawn_local(async move {
            let (port, _) = listener.accept().await.unwrap();
            let mut port = BufStream::new(port);
            resync::io::guest(&mut port).await.unwrap();
            port // and with it the connection
        });
        let session = Session::connect(&socket, PATIENCE).await.unwrap();
        drop(vm.await.unwrap());
        session.closed().await;
        let error = session.exec(&Exec::default()).await.unwrap_err();
        assert!(matches!(error, GuestError::Channel(_)), "{error:?}");
    })
    .await;
}
