//! What a caller should know about a workspace before an agent works in it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde_json::Value;

use crate::report;
use crate::workspace::Workspace;

/// More is not a file of settings.
const LARGEST: u64 = 1 << 20;

/// Tells them.
pub(crate) fn workspaces(folders: &[Workspace]) {
    for folder in folders {
        let file = folder.path.join(".claude.json");
        if has_api_key(&file) {
            report::say(format_args!(
                "warning: `{}` has a `primaryApiKey`: it is ignored in favour of the sandbox's credentials\n\
                 help: remove it, or hide the file with --hide .claude.json",
                file.display()
            ));
        }
    }
}

/// Whether the file is JSON with a `primaryApiKey`. The workspace is the agent's to write: no link is followed,
/// nothing but a plain file is read.
fn has_api_key(file: &Path) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(file);
    let Ok(opened) = opened else { return false };
    if !opened.metadata().is_ok_and(|meta| meta.is_file()) {
        return false;
    }
    let mut text = String::new();
    let read = opened.take(LARGEST).read_to_string(&mut text);
    let json = read
        .ok()
        .and_then(|_| serde_json::from_str::<Value>(&text).ok());
    json.is_some_and(|json| json.get("primaryApiKey").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_a_plain_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".claude.json");
        assert!(!has_api_key(&file));
        for (text, found) in [
            (r#"{"primaryApiKey": "sk-ant-x"}"#, true),
            (r#"{"apiKeyHelper": "x"}"#, false),
            ("primaryApiKey", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(has_api_key(&file), found, "{text}");
        }
        let real = dir.path().join("real");
        std::fs::write(&real, r#"{"primaryApiKey": 1}"#).unwrap();
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        assert!(!has_api_key(&file), "through a link");
    }
}
