use super::*;
use std::io::Write;
use tar::{Builder, EntryType, Header};

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o100_644);
    header.set_uid(1);
    header.set_gid(2);
    header.set_mtime(3);
    header.set_size(size as u64);
    header
}

fn special(kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut header = header(kind, content.len());
    header.set_path("special").unwrap();
    header.set_cksum();
    builder.append(&header, content).unwrap();
    builder.get_mut().clone()
}

fn file(change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = header(EntryType::Regular, 0);
    header.set_path("short").unwrap();
    change(&mut header);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn record(key: &str, value: &str) -> Vec<u8> {
    // All rows have a length of two digits.
    let length = key.len() + value.len() + 5;
    format!("{length} {key}={value}\n").into_bytes()
}

/// The only entry's path and meta, or what is wrong.
fn read(parts: &[Vec<u8>]) -> Result<(String, Meta), String> {
    let mut stream = parts.concat();
    stream.extend_from_slice(&[0; 1024]);
    let mut found = Vec::new();
    let result = each(&mut stream.as_slice(), |_, change, _| {
        found.push(change);
        Ok(())
    });
    result.map_err(|error| match error {
        Error::Refused { path, why } => format!("{path}: {why:?}"),
        Error::Read(error) => error.to_string(),
    })?;
    match found.pop() {
        Some(Change::Put { path, meta, .. }) => {
            let names: Vec<_> = path.iter().map(Name::as_bytes).collect();
            Ok((String::from_utf8(names.join(&b'/')).unwrap(), meta))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn special_entries_speak_of_the_next() {
    let long = format!("a/{}", "b".repeat(200));
    let gnu = special(EntryType::GNULongName, format!("{long}\0").as_bytes());
    let pax = |key, value| special(EntryType::XHeader, &record(key, value));
    let global = special(EntryType::XGlobalHeader, &record("path", "elsewhere"));
    let plain = || file(|_| {});
    let own = (1, 2, 3);
    type Row<'a> = (&'a str, Vec<Vec<u8>>, &'a str, (u32, u32, u64));
    let rows: [Row<'_>; 7] = [
        ("nothing special", vec![plain()], "short", own),
        ("a long name", vec![gnu.clone(), plain()], &long, own),
        (
            "a long name is for one entry",
            vec![gnu.clone(), plain(), plain()],
            "short",
            own,
        ),
        (
            "a pax path goes first",
            vec![gnu, pax("path", "p/q/r/s/t"), plain()],
            "p/q/r/s/t",
            own,
        ),
        (
            "an owner",
            vec![pax("uid", "70000"), plain()],
            "short",
            (70_000, 2, 3),
        ),
        (
            "a time",
            vec![pax("mtime", "9.5"), plain()],
            "short",
            (1, 2, 9),
        ),
        ("nothing is global", vec![global, plain()], "short", own),
    ];
    for (what, parts, path, (uid, gid, mtime)) in rows {
        let (found, meta) = read(&parts).unwrap();
        assert_eq!(found, path, "{what}");
        assert_eq!(
            (meta.uid, meta.gid, meta.mtime),
            (uid, gid, mtime),
            "{what}"
        );
        assert_eq!(meta.mode, 0o644, "{what}");
    }
}

#[test]
fn zeros_may_be_left_out() {
    let bare = file(|header| {
        let old = header.as_old_mut();
        (old.uid, old.gid, old.mode) = ([0; 8], [b' '; 8], [0; 8]);
    });
    let (_, meta) = read(&[bare]).unwrap();
    assert_eq!((meta.uid, meta.gid, meta.mode), (0, 0, 0));
}

#[test]
fn damage_is_refused() {
    let large = vec![b'x'; LARGEST_HEADER as usize + 1];
    let pax = |key, value| special(EntryType::XHeader, &record(key, value));
    let plain = || file(|_| {});
    let rows: [(&str, Vec<Vec<u8>>, &str); 7] = [
        (
            "a huge name",
            vec![special(EntryType::GNULongName, &large), plain()],
            "special: TooLong",
        ),
        (
            "a huge header",
            vec![special(EntryType::XHeader, &large), plain()],
            "special: TooLong",
        ),
        (
            "a size of its own",
            vec![pax("size", "10000"), plain()],
            "short: Budget",
        ),
        (
            "holes",
            vec![pax("GNU.sparse.major", "1"), plain()],
            "short: Sparse",
        ),
        (
            "no owner",
            vec![file(|header| header.as_old_mut().uid = *b"nobody!!")],
            "short: Header",
        ),
        (
            "escapes",
            vec![pax("path", "../\u{1b}[2J"), plain()],
            r"../\x1b[2J: Climbs",
        ),
        (
            "an absolute path",
            vec![pax("path", "/etc/passwd"), plain()],
            "/etc/passwd: Absolute",
        ),
    ];
    for (what, parts, wanted) in rows {
        assert_eq!(read(&parts).unwrap_err(), wanted, "{what}");
    }
    let mut cut = file(|header| header.set_size(5_000));
    cut.write_all(b"only this").unwrap();
    let error = each(&mut cut.as_slice(), |_, _, content| {
        std::io::copy(content, &mut std::io::sink())?;
        Ok(())
    });
    assert!(matches!(error, Err(Error::Read(_))));
    let mut wrong = file(|_| {});
    wrong[0] ^= 1;
    assert!(read(&[wrong]).is_err(), "a header's checksum counts");
}
