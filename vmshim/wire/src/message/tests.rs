use super::*;

#[tokio::test]
async fn what_is_written_is_read() {
    let rows = [
        Request::Boot,
        Request::Shutdown { grace_ms: 5000 },
        Request::Exec(Exec {
            argv: vec!["ls".into(), "ä b\0".into()],
            env: vec![("A".into(), String::new())],
            tty: Some(Tty {
                rows: 24,
                cols: 80,
                term: "xterm".into(),
            }),
            ..Exec::default()
        }),
    ];
    let mut pipe = Vec::new();
    for row in &rows {
        write(&mut pipe, row).await.unwrap();
    }
    let mut rest = pipe.as_slice();
    for row in rows {
        assert_eq!(read::<Request, _>(&mut rest).await.unwrap(), row);
    }
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let framed = |json: &[u8]| [&(json.len() as u32).to_be_bytes(), json].concat();
    let rows: [(Vec<u8>, &str); 7] = [
        (vec![], "the control stream failed"),
        (vec![0, 0, 0], "the control stream failed"),
        (vec![0, 0, 0, 9, b'"'], "the control stream failed"),
        (
            vec![0, 16, 0, 1],
            "a control message of 1048577 bytes is too long",
        ),
        (
            vec![255; 4],
            "a control message of 4294967295 bytes is too long",
        ),
        (framed(b"\"reboot\""), "a control message is malformed"),
        (
            framed(b"{\"exec\":{\"argv\":[],\"root\":1}}"),
            "a control message is malformed",
        ),
    ];
    for (bytes, wanted) in rows {
        let error = read::<Request, _>(&mut bytes.as_slice()).await.unwrap_err();
        assert_eq!(error.to_string(), wanted, "{bytes:?}");
    }
}

#[tokio::test]
async fn too_much_is_not_sent() {
    let mut pipe = Vec::new();
    let long = Reply::Failed("x".repeat(MAX_MESSAGE as usize));
    let error = write(&mut pipe, &long).await.unwrap_err();
    assert!(matches!(error, MessageError::TooLong(_)), "{error}");
    assert_eq!(pipe, b"");
}
