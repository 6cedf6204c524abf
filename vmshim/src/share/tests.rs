//! F26: what happens to a folder on the host while the guest uses it. The file system is asked as the guest's kernel
//! would ask, without a guest.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use virtiofsd::filesystem::{
    Context, Entry, Extensions, SetattrValid, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::SetattrIn;
use wire::message::PRETENCE;

use super::*;

type Shared = Guard<PassthroughFs>;

const ROOT: u64 = virtiofsd::fuse::ROOT_ID;

pub(super) fn shared(dir: &Path) -> Shared {
    let config = passthrough::Config {
        root_dir: dir.to_str().unwrap().to_owned(),
        ..passthrough::Config::default()
    };
    let fs = PassthroughFs::new(config).unwrap();
    fs.init(virtiofsd::filesystem::FsOptions::empty()).unwrap();
    Guard {
        fs,
        hidden: None,
        echo: Echo::silent(),
        gone: Gone::new(),
        bound: Bound::new(dir.to_owned(), u64::MAX),
    }
}

fn guest() -> Context {
    Context {
        uid: rustix::process::geteuid().as_raw().into(),
        gid: rustix::process::getegid().as_raw().into(),
        pid: 1,
    }
}

/// What the guest's kernel asks of an open file.
struct Open<'a> {
    fs: &'a Shared,
    inode: u64,
    handle: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let (inode, handle) = (self.inode, self.handle);
        let _ = self
            .fs
            .release(guest(), inode, 0, handle, false, false, None);
    }
}

impl<'a> Open<'a> {
    fn create(fs: &'a Shared, name: &str) -> io::Result<Self> {
        let (name, flags) = (CString::new(name).unwrap(), libc::O_RDWR as u32);
        let extensions = Extensions::default();
        let (entry, handle, _) =
            fs.create(guest(), ROOT, &name, 0o644, false, flags, 0, extensions)?;
        Ok(Self {
            fs,
            inode: entry.inode,
            handle: handle.unwrap(),
        })
    }

    fn of(fs: &'a Shared, name: &str) -> io::Result<Self> {
        let entry = lookup(fs, name)?;
        let (handle, _) = fs.open(guest(), entry.inode, false, libc::O_RDWR as u32)?;
        Ok(Self {
            fs,
            inode: entry.inode,
            handle: handle.unwrap(),
        })
    }

    fn write(&self, text: &[u8], at: u64) -> io::Result<usize> {
        let size = u32::try_from(text.len()).unwrap();
        let (inode, handle) = (self.inode, self.handle);
        self.fs.write(
            guest(),
            inode,
            handle,
            From(text),
            size,
            at,
            None,
            false,
            false,
            0,
        )
    }

    fn read(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.fs.read(
            guest(),
            self.inode,
            self.handle,
            Into(&mut text),
            4096,
            at,
            None,
            0,
        )?;
        Ok(text)
    }
}

fn lookup(fs: &Shared, name: &str) -> io::Result<Entry> {
    fs.lookup(guest(), ROOT, &CString::new(name).unwrap())
}

struct From<'a>(&'a [u8]);

impl ZeroCopyReader for From<'_> {
    fn write_to_file_at(
        &mut self,
        file: &File,
        count: usize,
        at: u64,
        _: Option<virtiofsd::oslib::WritevFlags>,
    ) -> io::Result<usize> {
        file.write_at(&self.0[..count], at)
    }
}

struct Into<'a>(&'a mut Vec<u8>);

impl ZeroCopyWriter for Into<'_> {
    fn read_from_file_at(
        &mut self,
        file: &File,
        count: usize,
        at: u64,
        _: Option<virtiofsd::oslib::ReadvFlags>,
    ) -> io::Result<usize> {
        let mut bytes = vec![0; count];
        let read = file.read_at(&mut bytes, at)?;
        self.0.extend_from_slice(&bytes[..read]);
        Ok(read)
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}

#[test]
fn a_file_that_is_removed_lives_on_for_who_has_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let fs = shared(dir.path());
    let file = Open::create(&fs, "file").unwrap();
    file.write(b"before", 0).unwrap();
    fs::remove_file(dir.path().join("file")).unwrap();
    assert_eq!(file.write(b" and after", 6).unwrap(), 10);
    assert_eq!(file.read(0).unwrap(), b"before and after");
    let gone = lookup(&fs, "file").err().unwrap();
    assert_eq!(errno(&gone), libc::ENOENT);
    // Another under the same name is another file.
    fs::write(dir.path().join("file"), "new").unwrap();
    assert_eq!(Open::of(&fs, "file").unwrap().read(0).unwrap(), b"new");
    assert_eq!(file.read(0).unwrap(), b"before and after");
}

#[test]
fn edits_of_both_sides_meet_in_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let fs = shared(dir.path());
    let file = Open::create(&fs, "file").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in 0..500 {
                file.write(b"guest\n", line * 12).unwrap();
            }
        });
        let host = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for line in 0..500 {
            host.write_all_at(b"host.\n", line * 12 + 6).unwrap();
        }
    });
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "guest\nhost.\n".repeat(500)
    );
    // An editor's way: another file takes the name.
    fs::write(dir.path().join("new"), "replaced").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(Open::of(&fs, "file").unwrap().read(0).unwrap(), b"replaced");
}

#[test]
fn what_the_host_renames_the_guest_finds_or_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("a"), "content").unwrap();
    let fs = shared(dir.path());
    let done = AtomicBool::new(false);
    let (mut found, mut missed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..5000 {
                fs::rename(at("a"), at("b")).unwrap();
                fs::rename(at("b"), at("a")).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            match Open::of(&fs, "a").and_then(|file| file.read(0)) {
                Ok(text) => {
                    assert_eq!(text, b"content");
                    found += 1;
                }
                Err(error) => {
                    assert_eq!(errno(&error), libc::ENOENT, "{error}");
                    missed += 1;
                }
            }
        }
    });
    assert!(found > 0, "{found} found, {missed} missed");
    assert_eq!(Open::of(&fs, "a").unwrap().read(0).unwrap(), b"content");
}

/// The kernel's own files fail in ways that no test could bring about on a disk.
#[test]
fn an_error_of_the_hosts_disk_reaches_the_guest() {
    let own = shared(&Path::new("/proc/self").canonicalize().unwrap());
    let memory = Open::of(&own, "mem").unwrap();
    assert_eq!(errno(&memory.read(0).unwrap_err()), libc::EIO);
    assert!(lookup(&own, "stat").is_ok(), "it goes on serving");
}

/// A device is never opened for the guest, whatever lies in the folder.
#[test]
fn a_device_is_found_and_not_opened() {
    let devices = shared(Path::new("/dev"));
    assert!(lookup(&devices, "zero").is_ok());
    let refused = Open::of(&devices, "zero").err().unwrap();
    assert_eq!(errno(&refused), libc::EBADF);
}

/// Mounts a disk that a test can fill, and runs the test there.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=64k none "$TMPDIR" && exec "$0" "$@""#;

#[test]
fn a_full_disk_is_told_and_is_over_when_there_is_room() {
    const CHILD: &str = "SHARE_TEST_ON_A_SMALL_DISK";
    let Some(disk) = std::env::var_os(CHILD) else {
        let disk = tempfile::tempdir().unwrap();
        let test = "share::tests::a_full_disk_is_told_and_is_over_when_there_is_room";
        let status = std::process::Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                ON_A_SMALL_DISK,
            ])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(CHILD, disk.path())
            .env("TMPDIR", disk.path())
            .status();
        assert!(status.unwrap().success());
        return;
    };
    let dir = Path::new(&disk);
    let fs = shared(dir);
    let file = Open::create(&fs, "file").unwrap();
    let block = [7; 4096];
    let mut at = 0;
    let error = loop {
        match file.write(&block, at) {
            Ok(written) => at += written as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(errno(&error), libc::ENOSPC);
    // What was written is there, and names can still be asked for.
    assert!(at > 0 && file.read(0).unwrap() == block);
    assert!(lookup(&fs, "file").is_ok());
    File::options()
        .write(true)
        .open(dir.join("file"))
        .unwrap()
        .set_len(0)
        .unwrap();
    assert_eq!(file.write(&block, 0).unwrap(), block.len());
}

/// A file without a name is opened only by who was told so: by the name that it had, a thread would not ask again.
#[test]
fn a_file_without_a_name_is_opened_by_who_insists() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let fs = shared(dir.path());
    for name in ["removed", "replaced", "kept"] {
        fs::write(at(name), "before").unwrap();
    }
    fs::create_dir(at("folder")).unwrap();
    let names = ["removed", "replaced", "kept", "folder"];
    let inodes = names.map(|name| lookup(&fs, name).unwrap().inode);
    fs::remove_file(at("removed")).unwrap();
    fs::rename(at("kept"), at("replaced")).unwrap();
    fs::remove_dir(at("folder")).unwrap();
    fs::hard_link(at("replaced"), at("kept")).unwrap();

    let read_only = libc::O_RDONLY as u32;
    let open = |inode: u64, by: Context| match inode == inodes[3] {
        true => fs.opendir(by, inode, read_only).err(),
        false => fs.open(by, inode, false, read_only).err(),
    };
    let shorten = |inode: u64, by: Context| {
        let none = SetattrIn::default();
        fs.setattr(by, inode, none, None, SetattrValid::SIZE).err()
    };
    let other = Context { pid: 2, ..guest() };
    let stale = Some(libc::ESTALE);
    for (name, inode) in names.into_iter().zip(inodes) {
        let told = |error: Option<io::Error>| error.map(|error| errno(&error));
        let has_name = name == "kept";
        let first = if has_name { None } else { stale };
        assert_eq!(told(open(inode, guest())), first, "{name}");
        assert_eq!(told(open(inode, other)), first, "{name}, another thread");
        assert_eq!(told(open(inode, guest())), None, "{name}, once more");
        assert_eq!(told(open(inode, guest())), first, "{name}, another time");
        let _ = lookup(&fs, name);
        assert_eq!(told(open(inode, guest())), first, "{name}, after a walk");
        if name != "folder" {
            let _ = lookup(&fs, name);
            assert_eq!(told(shorten(inode, guest())), first, "{name}, made shorter");
            assert_eq!(told(shorten(inode, guest())), None, "{name}, shorter again");
        }
    }
}

/// Init pretends in a group of its own. A kernel that says of no group might be asking for init.
#[test]
fn what_is_done_depends_on_as_whom() {
    let done = |group: u32| {
        let dir = tempfile::tempdir().unwrap();
        let fs = shared(dir.path());
        fs::write(dir.path().join("file"), "content").unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        let entry = lookup(&fs, "file").unwrap();
        let ctx = || Context {
            gid: group.into(),
            ..guest()
        };
        let mode = SetattrIn {
            mode: 0o600,
            ..SetattrIn::default()
        };
        let extensions = Extensions::default;
        let asked = [
            fs.setattr(ctx(), entry.inode, mode, None, SetattrValid::MODE)
                .err(),
            fs.mknod(ctx(), ROOT, c"new", libc::S_IFREG, 0, 0, extensions())
                .err(),
            fs.mkdir(ctx(), ROOT, c"new folder", 0o700, 0, extensions())
                .err(),
            fs.symlink(ctx(), c"file", ROOT, c"link", extensions())
                .err(),
            fs.rmdir(ctx(), ROOT, c"folder").err(),
            fs.unlink(ctx(), ROOT, c"file").err(),
        ];
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        (asked.map(|error| error.map(|error| errno(&error))), left)
    };
    let before = ["file", "folder"].map(OsString::from).to_vec();
    let own = rustix::process::getegid().as_raw();
    let after = ["link", "new", "new folder"].map(OsString::from).to_vec();
    assert_eq!(done(own), ([None; 6], after));
    let gone = Some(libc::ENOENT);
    // What is not there yet can't be shown to the kernel as made.
    assert_eq!(
        done(PRETENCE),
        ([None, gone, gone, gone, None, None], before.clone())
    );
    assert_eq!(done(u32::MAX), ([Some(libc::EPERM); 6], before));
}
