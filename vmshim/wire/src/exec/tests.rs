use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::*;

fn to_guest() -> Vec<ToGuest> {
    vec![
        ToGuest::Stdin(Bytes::from_static(b"x")),
        ToGuest::Stdin(Bytes::from(vec![7; MAX_PAYLOAD])),
        ToGuest::StdinEof,
        ToGuest::Resize {
            rows: 0x0102,
            cols: 0xfffe,
        },
        ToGuest::Signal(1),
        ToGuest::Signal(64),
        ToGuest::Detach,
    ]
}

fn to_host() -> Vec<ToHost> {
    let error = |kind, message: &str| {
        ToHost::Error(ExecError {
            kind,
            message: message.into(),
        })
    };
    vec![
        ToHost::Started,
        ToHost::Stdout(Bytes::from_static(b"\0out")),
        ToHost::Stderr(Bytes::from(vec![7; MAX_PAYLOAD])),
        ToHost::StdinTaken(u32::MAX),
        ToHost::Exit(Exit::Code(255)),
        ToHost::Exit(Exit::Signal(9)),
        error(ExecErrorKind::NotFound, "`ä` is not found"),
        error(ExecErrorKind::NotExecutable, ""),
        error(ExecErrorKind::NoSuchUser, "x"),
        error(ExecErrorKind::BadCwd, "x"),
        error(ExecErrorKind::BadRequest, "x"),
        error(ExecErrorKind::NotReady, "x"),
        error(ExecErrorKind::Failed, "x"),
    ]
}

/// Decodes bytes that arrive in pieces of this size.
fn decode<D: Decoder<Error = FrameError>>(
    mut codec: D,
    bytes: &[u8],
    piece: usize,
) -> Result<(Vec<D::Item>, usize), FrameError> {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = codec.decode(&mut buffer)? {
            frames.push(frame);
        }
    }
    Ok((frames, buffer.len()))
}

#[test]
fn what_is_encoded_is_decoded_however_it_arrives() {
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    for frame in to_guest() {
        HostCodec.encode(frame, &mut there).unwrap();
    }
    for frame in to_host() {
        GuestCodec.encode(frame, &mut back).unwrap();
    }
    for piece in [1, 2, 5, 6, 4096, usize::MAX] {
        assert_eq!(decode(GuestCodec, &there, piece).unwrap(), (to_guest(), 0));
        assert_eq!(decode(HostCodec, &back, piece).unwrap(), (to_host(), 0));
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind], len.as_slice(), payload].concat()
}

#[test]
fn what_is_not_exactly_right_is_refused() {
    let malformed = |kind| format!("an exec frame of kind {kind} is malformed");
    let unknown = |kind| format!("an exec frame has the unknown kind {kind}");
    let from_host = [
        (frame(1, b""), malformed(1)),
        (frame(2, b"x"), malformed(2)),
        (frame(3, &[0; 3]), malformed(3)),
        (frame(3, &[0; 5]), malformed(3)),
        (frame(4, &[]), malformed(4)),
        (frame(5, b"x"), malformed(5)),
        (frame(4, &[0]), malformed(4)),
        (frame(4, &[65]), malformed(4)),
        (frame(4, &[9, 9]), malformed(4)),
        (frame(0, b""), unknown(0)),
        (frame(17, b"output from the host"), unknown(17)),
        (frame(255, b""), unknown(255)),
    ];
    for (bytes, wanted) in from_host {
        let error = decode(GuestCodec, &bytes, 1).unwrap_err();
        assert_eq!(error.to_string(), wanted, "{bytes:?}");
    }
    let from_guest = [
        (frame(16, b"x"), malformed(16)),
        (frame(17, b""), malformed(17)),
        (frame(18, b""), malformed(18)),
        (frame(19, &[0; 3]), malformed(19)),
        (frame(20, &[0]), malformed(20)),
        (frame(20, &[1, 0]), malformed(20)),
        (frame(20, &[1, 65]), malformed(20)),
        (frame(20, &[2, 1]), malformed(20)),
        (frame(21, b""), malformed(21)),
        (frame(21, &[0]), malformed(21)),
        (frame(21, &[8]), malformed(21)),
        (frame(21, &[1, 0xff]), malformed(21)),
        (frame(1, b"input from the guest"), unknown(1)),
    ];
    for (bytes, wanted) in from_guest {
        let error = decode(HostCodec, &bytes, 1).unwrap_err();
        assert_eq!(error.to_string(), wanted, "{bytes:?}");
    }
}

#[test]
fn what_a_guest_says_of_an_error_cannot_command_the_terminal() {
    let bytes = frame(21, b"\x01\x1b[2J");
    let (frames, _) = decode(HostCodec, &bytes, 1).unwrap();
    let [ToHost::Error(error)] = frames.as_slice() else {
        panic!("{frames:?}")
    };
    assert_eq!(error.message, "\u{fffd}[2J");
}

#[test]
fn a_length_is_refused_before_its_payload_is_awaited() {
    for len in [MAX_PAYLOAD as u32 + 1, u32::MAX] {
        let header = [&[1], len.to_be_bytes().as_slice()].concat();
        let error = decode(GuestCodec, &header, 5).unwrap_err();
        assert!(matches!(error, FrameError::TooLong(_)), "{error}");
    }
}

#[test]
fn too_much_is_not_sent() {
    let long = Bytes::from(vec![0; MAX_PAYLOAD + 1]);
    let mut out = BytesMut::new();
    assert!(
        HostCodec
            .encode(ToGuest::Stdin(long.clone()), &mut out)
            .is_err()
    );
    assert!(GuestCodec.encode(ToHost::Stdout(long), &mut out).is_err());
    assert!(out.is_empty(), "half a frame was written");
}

#[test]
fn any_bytes_decode_or_fail() {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    let (mut decoded, mut failed) = (0, 0);
    for _ in 0..20_000 {
        // Small kinds and lengths, so that some are right.
        let len = random() % 6;
        let mut bytes = frame(random() % 24, &vec![random() % 3; usize::from(len)]);
        bytes.truncate(bytes.len() - usize::from(random() % 32 == 0));
        for result in [
            decode(GuestCodec, &bytes, 3).map(|(frames, _)| frames.len()),
            decode(HostCodec, &bytes, 3).map(|(frames, _)| frames.len()),
        ] {
            match result {
                Ok(count) => decoded += count,
                Err(_) => failed += 1,
            }
        }
    }
    assert!(decoded > 1000 && failed > 1000, "{decoded} {failed}");
}

#[test]
fn exit_codes_are_those_of_a_shell() {
    let rows = [
        (Exit::Code(0), 0),
        (Exit::Code(255), 255),
        (Exit::Signal(2), 130),
        (Exit::Signal(9), 137),
        (Exit::Signal(64), 192),
    ];
    for (exit, code) in rows {
        assert_eq!(exit.shell_code(), code, "{exit:?}");
    }
    assert_eq!(ExecErrorKind::NotFound.exit_code(), 127);
    assert_eq!(ExecErrorKind::NotExecutable.exit_code(), 126);
    assert_eq!(ExecErrorKind::NotReady.exit_code(), 125);
}
