//! What a guest may not do to a shared folder although the file system could: a rule before every request.
//!
//! The guest's kernel asks only what its own rules allow, but a hostile guest is its kernel and may ask anything.
//! A name is one name, never a path. No file of the folder becomes set-user-ID or a device: on the host it would
//! belong to the caller, who may be root.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::io::Errno;
use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions,
    SerializableFileSystem, SetattrValid, SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse;

/// A file system behind the rules.
pub(super) struct Guard<F>(pub(super) F);

/// Set-user-ID and set-group-ID, as in `st_mode` (inode(7)).
const SET_ID: u32 = 0o6000;

/// Refuses what is not one name in a folder: `virtiofsd` hands it to system calls that take paths.
fn check(name: &CStr) -> io::Result<()> {
    match name.to_bytes() {
        b"" | b"." | b".." => Err(Errno::INVAL.into()),
        bytes if bytes.contains(&b'/') => Err(Errno::INVAL.into()),
        _ => Ok(()),
    }
}

/// The permission bits without those that would lend the caller's identity to whoever runs the file.
fn without_set_id(mode: u32) -> u32 {
    mode & !SET_ID
}

/// Files, folders, pipes and sockets can be made; devices can't.
fn is_harmless(mode: u32) -> bool {
    matches!(
        mode & libc::S_IFMT,
        0 | libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK
    )
}

/// Methods that ask the file system as they are.
macro_rules! pass {
    {$(
        fn $name:ident$(<$generic:ident: $bound:path>)?(
            $($parameter:ident: $type:ty),* $(,)?
        )$( -> $result:ty)?;
    )*} => {$(
        fn $name$(<$generic: $bound>)?(&self, $($parameter: $type),*)$( -> $result)? {
            self.0.$name($($parameter),*)
        }
    )*}
}

#[rustfmt::skip] // one signature a line, as a table
impl<F: FileSystem> FileSystem for Guard<F> {
    type Inode = F::Inode;
    type Handle = F::Handle;
    type DirIter = F::DirIter;

    pass! {
        fn init(capable: FsOptions) -> io::Result<FsOptions>;
        fn destroy();
        fn forget(ctx: Context, inode: F::Inode, count: u64);
        fn batch_forget(ctx: Context, requests: Vec<(F::Inode, u64)>);
        fn getattr(ctx: Context, inode: F::Inode, handle: Option<F::Handle>) -> io::Result<(fuse::Attr, Duration)>;
        fn readlink(ctx: Context, inode: F::Inode) -> io::Result<Vec<u8>>;
        fn open(ctx: Context, inode: F::Inode, kill_priv: bool, flags: u32) -> io::Result<(Option<F::Handle>, OpenOptions)>;
        fn read<W: ZeroCopyWriter>(ctx: Context, inode: F::Inode, handle: F::Handle, w: W, size: u32, offset: u64, lock_owner: Option<u64>, flags: u32) -> io::Result<usize>;
        fn write<R: ZeroCopyReader>(ctx: Context, inode: F::Inode, handle: F::Handle, r: R, size: u32, offset: u64, lock_owner: Option<u64>, delayed_write: bool, kill_priv: bool, flags: u32) -> io::Result<usize>;
        fn flush(ctx: Context, inode: F::Inode, handle: F::Handle, lock_owner: u64) -> io::Result<()>;
        fn fsync(ctx: Context, inode: F::Inode, datasync: bool, handle: F::Handle) -> io::Result<()>;
        fn fallocate(ctx: Context, inode: F::Inode, handle: F::Handle, mode: u32, offset: u64, length: u64) -> io::Result<()>;
        fn release(ctx: Context, inode: F::Inode, flags: u32, handle: F::Handle, flush: bool, flock_release: bool, lock_owner: Option<u64>) -> io::Result<()>;
        fn statfs(ctx: Context, inode: F::Inode) -> io::Result<libc::statvfs64>;
        fn setxattr(ctx: Context, inode: F::Inode, name: &CStr, value: &[u8], flags: u32, extra: SetxattrFlags) -> io::Result<()>;
        fn getxattr(ctx: Context, inode: F::Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(ctx: Context, inode: F::Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(ctx: Context, inode: F::Inode, name: &CStr) -> io::Result<()>;
        fn opendir(ctx: Context, inode: F::Inode, flags: u32) -> io::Result<(Option<F::Handle>, OpenOptions)>;
        fn readdir(ctx: Context, inode: F::Inode, handle: F::Handle, size: u32, offset: u64) -> io::Result<F::DirIter>;
        fn fsyncdir(ctx: Context, inode: F::Inode, datasync: bool, handle: F::Handle) -> io::Result<()>;
        fn releasedir(ctx: Context, inode: F::Inode, flags: u32, handle: F::Handle) -> io::Result<()>;
        fn access(ctx: Context, inode: F::Inode, mask: u32) -> io::Result<()>;
        fn lseek(ctx: Context, inode: F::Inode, handle: F::Handle, offset: u64, whence: u32) -> io::Result<u64>;
        fn copyfilerange(ctx: Context, from: F::Inode, from_handle: F::Handle, from_offset: u64, to: F::Inode, to_handle: F::Handle, to_offset: u64, len: u64, flags: u64) -> io::Result<usize>;
        fn syncfs(ctx: Context, inode: F::Inode) -> io::Result<()>;
    }

    fn lookup(&self, ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<Entry> {
        check(name)?;
        self.0.lookup(ctx, parent, name)
    }

    fn setattr(&self, ctx: Context, inode: F::Inode, mut attr: fuse::SetattrIn, handle: Option<F::Handle>, valid: SetattrValid) -> io::Result<(fuse::Attr, Duration)> {
        attr.mode = without_set_id(attr.mode);
        self.0.setattr(ctx, inode, attr, handle, valid)
    }

    fn symlink(&self, ctx: Context, target: &CStr, parent: F::Inode, name: &CStr, extensions: Extensions) -> io::Result<Entry> {
        check(name)?;
        self.0.symlink(ctx, target, parent, name, extensions)
    }

    fn mknod(&self, ctx: Context, parent: F::Inode, name: &CStr, mode: u32, rdev: u32, umask: u32, extensions: Extensions) -> io::Result<Entry> {
        check(name)?;
        if !is_harmless(mode) {
            return Err(Errno::PERM.into());
        }
        self.0.mknod(ctx, parent, name, without_set_id(mode), rdev, umask, extensions)
    }

    fn mkdir(&self, ctx: Context, parent: F::Inode, name: &CStr, mode: u32, umask: u32, extensions: Extensions) -> io::Result<Entry> {
        check(name)?;
        self.0.mkdir(ctx, parent, name, without_set_id(mode), umask, extensions)
    }

    fn unlink(&self, ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<()> {
        check(name)?;
        self.0.unlink(ctx, parent, name)
    }

    fn rmdir(&self, ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<()> {
        check(name)?;
        self.0.rmdir(ctx, parent, name)
    }

    fn rename(&self, ctx: Context, from: F::Inode, old: &CStr, to: F::Inode, new: &CStr, flags: u32) -> io::Result<()> {
        check(old)?;
        check(new)?;
        self.0.rename(ctx, from, old, to, new, flags)
    }

    fn link(&self, ctx: Context, inode: F::Inode, parent: F::Inode, name: &CStr) -> io::Result<Entry> {
        check(name)?;
        self.0.link(ctx, inode, parent, name)
    }

    fn create(&self, ctx: Context, parent: F::Inode, name: &CStr, mode: u32, kill_priv: bool, flags: u32, umask: u32, extensions: Extensions) -> io::Result<(Entry, Option<F::Handle>, OpenOptions)> {
        check(name)?;
        self.0.create(ctx, parent, name, without_set_id(mode), kill_priv, flags, umask, extensions)
    }
}

impl<F: SerializableFileSystem> SerializableFileSystem for Guard<F> {
    pass! {
        fn prepare_serialization(cancel: Arc<AtomicBool>);
        fn serialize(pipe: File) -> io::Result<()>;
        fn deserialize_and_apply(pipe: File) -> io::Result<()>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_rows() {
        let rows = [
            (c"file", true),
            (c"..file", true),
            (c"with space\n", true),
            (c"", false),
            (c".", false),
            (c"..", false),
            (c"../up", false),
            (c"a/b", false),
            (c"/etc/shadow", false),
        ];
        for (name, allowed) in rows {
            assert_eq!(check(name).is_ok(), allowed, "{name:?}");
        }
    }

    #[test]
    fn mode_rows() {
        assert_eq!(without_set_id(0o104_755), 0o100_755);
        assert_eq!(without_set_id(0o102_644), 0o100_644);
        assert_eq!(
            without_set_id(0o041_777),
            0o041_777,
            "the sticky bit lends nothing"
        );
        let rows = [
            (libc::S_IFREG, true),
            (libc::S_IFIFO, true),
            (libc::S_IFSOCK, true),
            (libc::S_IFCHR, false),
            (libc::S_IFBLK, false),
        ];
        for (kind, harmless) in rows {
            assert_eq!(is_harmless(kind | 0o644), harmless, "{kind:o}");
        }
    }
}
