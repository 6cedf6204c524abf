//! Changing files of the template without losing what others wrote.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An absolute path of the guest below this root: `/` in a guest, a temporary folder in a test.
pub(crate) fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Writes a file that is ours, beside and renamed, making its folder. Leaves it alone if it has the
/// content already: on an overlay every write is a copy.
pub(crate) fn replace(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> io::Result<()> {
    let content = content.as_ref();
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sandbox-new");
    fs::write(&beside, content)?;
    fs::set_permissions(&beside, Permissions::from_mode(mode))?;
    fs::rename(&beside, path)
}

const BEGIN: &str = "# >>> sandbox: written anew at each start";
const END: &str = "# <<< sandbox";

/// Writes our lines into a file that is not ours, between two marks. All else in it stays.
pub(crate) fn replace_block(path: &Path, lines: &str, mode: u32) -> io::Result<()> {
    let found = fs::read_to_string(path).unwrap_or_default();
    replace(path, with_block(&found, lines), mode)
}

fn with_block(text: &str, lines: &str) -> String {
    let block = format!("{BEGIN}\n{lines}{END}\n");
    let around = text
        .rsplit_once(&format!("{BEGIN}\n"))
        .and_then(|(before, rest)| {
            let (_, after) = rest.split_once(&format!("{END}\n"))?;
            Some((before, after))
        });
    match around {
        Some((before, after)) => format!("{before}{block}{after}"),
        None if text.is_empty() || text.ends_with('\n') => format!("{text}{block}"),
        None => format!("{text}\n{block}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_replaces_itself_and_nothing_else() {
        let block = format!("{BEGIN}\nnew\n{END}\n");
        let old = format!("{BEGIN}\nold 1\nold 2\n{END}\n");
        let cut_off = format!("user\n{BEGIN}\nuser too\n");
        let rows = [
            (String::new(), block.clone()),
            ("user\n".into(), format!("user\n{block}")),
            ("no newline".into(), format!("no newline\n{block}")),
            (format!("a\n{old}b\n"), format!("a\n{block}b\n")),
            (cut_off.clone(), format!("{cut_off}{block}")),
        ];
        for (before, after) in rows {
            assert_eq!(with_block(&before, "new\n"), after, "{before:?}");
            assert_eq!(with_block(&after, "new\n"), after, "again on {before:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_only_if_it_differs() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        replace(&path, "one", 0o640).unwrap();
        let first = fs::metadata(&path).unwrap();
        assert_eq!(first.mode() & 0o777, 0o640);
        replace(&path, "one", 0o640).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        replace(&path, "two", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
