//! What servers may take a path for, written without the library: every order of what some of them do and others don't.

/// The paths that some server may serve when it is asked for `path`, a path of printable ASCII without a query.
pub(crate) fn served(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for decoded in [path.to_owned(), letters(path)] {
        let split = decoded.replace("%2F", "/").replace("%2f", "/");
        for divided in [decoded.clone(), cut(&decoded), cut(&split), split] {
            let resolved = resolve(&divided);
            let joined = join(&divided);
            found.extend([resolve(&joined), join(&resolved), joined, resolved, divided]);
        }
    }
    // Decoded at the last.
    found.iter().map(|path| letters(path)).collect()
}

/// Without the escapes of letters, digits, dots and the like.
fn letters(path: &str) -> String {
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).map(|hex| u8::from_str_radix(hex, 16));
        match byte {
            Some(Ok(byte)) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                text.push(char::from(byte));
                text.push_str(part.get(2..).unwrap_or_default());
            }
            _ => {
                text.push('%');
                text.push_str(part);
            }
        }
    }
    text
}

fn cut(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let end = segment.find(';').unwrap_or(segment.len());
        segment.get(..end).unwrap_or_default()
    });
    segments.collect::<Vec<_>>().join("/")
}

fn join(path: &str) -> String {
    let mut text = path.to_owned();
    while text.contains("//") {
        text = text.replace("//", "/");
    }
    text
}

/// RFC 3986 §5.2.4. Above the root there is the root.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = false;
    for segment in path.split('/').skip(1) {
        folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let end = if folder && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}
