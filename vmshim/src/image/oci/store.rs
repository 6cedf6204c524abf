//! The files of an image's folder or archive, by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layer;

/// Members of an archive: several times what an image of 1024 layers takes.
const MOST_MEMBERS: usize = 10_000;

/// Links from one member to the next.
const MOST_HOPS: usize = 8;

/// Where an image's files are.
#[derive(Clone)]
pub(super) enum Store {
    /// A folder.
    Folder(PathBuf),
    /// An archive, indexed.
    Archive {
        file: Arc<File>,
        members: Arc<HashMap<String, Member>>,
    },
}

/// A member of an archive.
#[derive(Clone, Debug)]
pub(super) enum Member {
    /// Its bytes.
    At { start: u64, length: u64 },
    /// Another member. Docker saved shared layers so.
    Link(String),
}

impl Store {
    /// Indexes a tar archive; if it is compressed, its content goes to a nameless file in `scratch` first.
    pub(super) fn archive(file: File, scratch: &Path) -> io::Result<Self> {
        let mut magic = [0; 4];
        let head = file.read_at(&mut magic, 0)?;
        let is_tar = head < 4 || !(magic.starts_with(&[0x1f, 0x8b]) || magic == ZSTD_MAGIC);
        let file = if is_tar {
            file
        } else {
            unpacked(file, scratch)?
        };
        let members = index(&file)?;
        Ok(Self::Archive {
            file: Arc::new(file),
            members: Arc::new(members),
        })
    }

    /// Opens a file, if there is one of that name.
    pub(super) fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        match self {
            Self::Folder(root) => {
                // Names come from us or are digests, but a layout's manifest may name anything.
                let plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
                if !plain {
                    return Ok(None);
                }
                match open_file(&root.join(name)) {
                    Ok(file) => Ok(Some(Box::new(file))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Self::Archive { file, members } => Ok(find(members, name).map(|(at, left)| {
                let file = file.clone();
                let section: Box<dyn Read> = Box::new(Section { file, at, left });
                section
            })),
        }
    }
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Opens a regular file; anything else could block or never end.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(nonblock).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

fn unpacked(mut file: File, scratch: &Path) -> io::Result<File> {
    std::fs::create_dir_all(scratch)?;
    file.rewind()?;
    let mut plain = tempfile::tempfile_in(scratch)?;
    let mut reader = layer::uncompressed(BufReader::new(file))?.take(layer::LARGEST);
    io::copy(&mut reader, &mut plain)?;
    Ok(plain)
}

fn index(file: &File) -> io::Result<HashMap<String, Member>> {
    let length = file.metadata()?.len();
    let mut own = file.try_clone()?;
    own.rewind()?;
    let mut archive = tar::Archive::new(own);
    let mut members = HashMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = normal(&entry.path_bytes(), "");
        let member = match entry.header().entry_type() {
            tar::EntryType::Regular => {
                let (start, size) = (entry.raw_file_position(), entry.size());
                if start.checked_add(size).is_none_or(|end| end > length) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Member::At {
                    start,
                    length: size,
                }
            }
            kind @ (tar::EntryType::Symlink | tar::EntryType::Link) => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let base = if kind.is_symlink() { folder } else { "" };
                Member::Link(normal(&target, base))
            }
            _ => continue,
        };
        members.insert(name, member);
        if members.len() > MOST_MEMBERS {
            return Err(io::Error::other("it has too many members"));
        }
    }
    Ok(members)
}

/// A name without `.` and `..`, read from the folder `base`. Names only select members, so clamping is harmless.
fn normal(name: &[u8], base: &str) -> String {
    let name = String::from_utf8_lossy(name);
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn find(members: &HashMap<String, Member>, name: &str) -> Option<(u64, u64)> {
    let mut member = members.get(name)?;
    for _ in 0..MOST_HOPS {
        match member {
            Member::At { start, length } => return Some((*start, *length)),
            Member::Link(target) => member = members.get(target)?,
        }
    }
    None
}

/// A part of a file, with a position of its own.
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let count = self.file.read_at(buffer, self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let step = u64::try_from(count).map_err(io::Error::other)?;
        self.at += step;
        self.left -= step;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(tar::EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            if kind.is_file() {
                header.set_size(text.len() as u64);
                builder
                    .append_data(&mut header, name, text.as_bytes())
                    .unwrap();
            } else {
                header.set_size(0);
                builder.append_link(&mut header, name, text).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    fn text(store: &Store, name: &str) -> Option<String> {
        let mut text = String::new();
        store
            .open(name)
            .unwrap()?
            .read_to_string(&mut text)
            .unwrap();
        Some(text)
    }

    #[test]
    fn members_are_found_through_links() {
        use tar::EntryType::{Link, Regular, Symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.tar");
        let bytes = archive(&[
            (Regular, "a/layer.tar", "one"),
            (Regular, "./top", "two"),
            (Symlink, "b/layer.tar", "../a/layer.tar"),
            (Link, "c/layer.tar", "a/layer.tar"),
            (Symlink, "loop", "loop"),
            (Symlink, "out", "../../etc/hostname"),
        ]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &bytes).unwrap();
        for stored in [bytes, gzip.finish().unwrap()] {
            std::fs::write(&path, stored).unwrap();
            let store =
                Store::archive(open_file(&path).unwrap(), &dir.path().join("scratch")).unwrap();
            let rows = [
                ("a/layer.tar", Some("one")),
                ("b/layer.tar", Some("one")),
                ("c/layer.tar", Some("one")),
                ("top", Some("two")),
                ("loop", None),
                ("out", None),
                ("absent", None),
            ];
            for (name, wanted) in rows {
                assert_eq!(text(&store, name).as_deref(), wanted, "{name}");
            }
        }
        assert_eq!(
            std::fs::read_dir(dir.path().join("scratch"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn a_folder_gives_its_own_regular_files_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("image")).unwrap();
        std::fs::write(dir.path().join("secret"), "no").unwrap();
        std::fs::write(dir.path().join("image/index.json"), "yes").unwrap();
        let store = Store::Folder(dir.path().join("image"));
        let rows = [
            ("index.json", Some("yes")),
            ("../secret", None),
            ("/etc/hostname", None),
            ("absent", None),
        ];
        for (name, wanted) in rows {
            assert_eq!(text(&store, name).as_deref(), wanted, "{name}");
        }
        let pipe = dir.path().join("image/pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(store.open("pipe").is_err());
    }

    #[test]
    fn a_cut_archive_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.tar");
        let mut bytes = archive(&[(tar::EntryType::Regular, "a", &"x".repeat(5_000))]);
        bytes.truncate(2_000);
        std::fs::write(&path, bytes).unwrap();
        assert!(Store::archive(open_file(&path).unwrap(), dir.path()).is_err());
    }
}
