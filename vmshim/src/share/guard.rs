//! What a guest may not do to a shared folder although the file system could: a rule before every request.
//!
//! The guest's kernel asks only what its own rules allow, but a hostile guest is its kernel and may ask anything.
//! A name is one name, never a path, and never one that the caller hides. No file of the folder becomes set-user-ID or a device: on the host it would
//! belong to the caller, who may be root.

use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions,
    SetattrValid, SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse;
use virtiofsd::soft_idmap::Id as _;

use wire::message::PRETENCE;

use super::bound::Bound;
use super::echo::Echo;
use super::gone::Gone;
use super::hidden::Hidden;
use super::listing::Listing;

/// A file system behind the rules.
pub(super) struct Guard<F> {
    pub(super) fs: F,
    /// `None` hides nothing, and costs nothing.
    pub(super) hidden: Option<Arc<Hidden>>,
    /// Whom the guest's own changes are told to.
    pub(super) echo: Echo,
    /// Whom a file without a name is opened for.
    pub(super) gone: Gone,
    /// Who is told when too many are open.
    pub(super) bound: Bound,
}

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

/// The group of a request whose kernel does not say as whom it asks (`FUSE_INVALID_UIDGID`).
const UNSAID: u32 = u32::MAX;

/// Whether the guest's init only makes its kernel tell of what the host did. Refuses a kernel that does not say: it might
/// be init, and a file would be lost. We decline what would let it be silent, so that no kernel in its right mind is.
fn pretends(ctx: &Context) -> io::Result<bool> {
    match ctx.gid.into_inner() {
        PRETENCE => Ok(true),
        UNSAID => Err(Errno::PERM.into()),
        _ => Ok(false),
    }
}

/// Methods that ask the file system as they are.
macro_rules! pass {
    {$(
        fn $name:ident$(<$generic:ident: $bound:path>)?(
            $($parameter:ident: $type:ty),* $(,)?
        )$( -> $result:ty)?;
    )*} => {$(
        fn $name$(<$generic: $bound>)?(&self, $($parameter: $type),*)$( -> $result)? {
            self.fs.$name($($parameter),*)
        }
    )*}
}

#[rustfmt::skip] // one signature a line, as a table
impl<F: FileSystem<Inode = u64>> FileSystem for Guard<F> {
    type Inode = F::Inode;
    type Handle = F::Handle;
    type DirIter = Listing<F::DirIter>;

    pass! {
        fn init(capable: FsOptions) -> io::Result<FsOptions>;
        fn destroy();
        fn getattr(ctx: Context, inode: F::Inode, handle: Option<F::Handle>) -> io::Result<(fuse::Attr, Duration)>;
        fn readlink(ctx: Context, inode: F::Inode) -> io::Result<Vec<u8>>;
        fn read<W: ZeroCopyWriter>(ctx: Context, inode: F::Inode, handle: F::Handle, w: W, size: u32, offset: u64, lock_owner: Option<u64>, flags: u32) -> io::Result<usize>;
        fn flush(ctx: Context, inode: F::Inode, handle: F::Handle, lock_owner: u64) -> io::Result<()>;
        fn fsync(ctx: Context, inode: F::Inode, datasync: bool, handle: F::Handle) -> io::Result<()>;
        fn release(ctx: Context, inode: F::Inode, flags: u32, handle: F::Handle, flush: bool, flock_release: bool, lock_owner: Option<u64>) -> io::Result<()>;
        fn statfs(ctx: Context, inode: F::Inode) -> io::Result<libc::statvfs64>;
        fn setxattr(ctx: Context, inode: F::Inode, name: &CStr, value: &[u8], flags: u32, extra: SetxattrFlags) -> io::Result<()>;
        fn getxattr(ctx: Context, inode: F::Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(ctx: Context, inode: F::Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(ctx: Context, inode: F::Inode, name: &CStr) -> io::Result<()>;
        fn fsyncdir(ctx: Context, inode: F::Inode, datasync: bool, handle: F::Handle) -> io::Result<()>;
        fn releasedir(ctx: Context, inode: F::Inode, flags: u32, handle: F::Handle) -> io::Result<()>;
        fn access(ctx: Context, inode: F::Inode, mask: u32) -> io::Result<()>;
        fn lseek(ctx: Context, inode: F::Inode, handle: F::Handle, offset: u64, whence: u32) -> io::Result<u64>;
        fn syncfs(ctx: Context, inode: F::Inode) -> io::Result<()>;
    }

    fn lookup(&self, ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<Entry> {
        self.gone.walks(&ctx, None);
        self.see(parent, name)?;
        if pretends(&ctx)? {
            return Err(Errno::NOENT.into()); // or the kernel would not make what it has already
        }
        let found = self.bound.heed(self.fs.lookup(ctx, parent, name));
        if let Ok(entry) = &found {
            self.gone.walks(&ctx, Some(entry.inode));
        }
        self.found(parent, name, found)
    }

    fn open(&self, ctx: Context, inode: F::Inode, kill_priv: bool, flags: u32) -> io::Result<(Option<F::Handle>, OpenOptions)> {
        self.is_there(ctx, inode)?;
        self.bound.heed(self.fs.open(ctx, inode, kill_priv, flags))
    }

    fn opendir(&self, ctx: Context, inode: F::Inode, flags: u32) -> io::Result<(Option<F::Handle>, OpenOptions)> {
        self.is_there(ctx, inode)?;
        self.bound.heed(self.fs.opendir(ctx, inode, flags))
    }

    fn forget(&self, ctx: Context, inode: F::Inode, count: u64) {
        self.forgotten(inode, count);
        self.fs.forget(ctx, inode, count);
    }

    fn batch_forget(&self, ctx: Context, requests: Vec<(F::Inode, u64)>) {
        for (inode, count) in &requests {
            self.forgotten(*inode, *count);
        }
        self.fs.batch_forget(ctx, requests);
    }

    fn readdir(&self, ctx: Context, inode: F::Inode, handle: F::Handle, size: u32, offset: u64) -> io::Result<Self::DirIter> {
        let entries = self.fs.readdir(ctx, inode, handle, size, offset)?;
        Ok(Listing::new(entries, inode, self.hidden.as_ref()))
    }

    fn setattr(&self, ctx: Context, inode: F::Inode, mut attr: fuse::SetattrIn, handle: Option<F::Handle>, valid: SetattrValid) -> io::Result<(fuse::Attr, Duration)> {
        if pretends(&ctx)? {
            return self.fs.getattr(ctx, inode, handle);
        }
        if valid.contains(SetattrValid::SIZE) && handle.is_none() {
            self.is_there(ctx, inode)?;
        }
        self.changes(ctx, inode);
        attr.mode = without_set_id(attr.mode);
        self.fs.setattr(ctx, inode, attr, handle, valid)
    }

    fn symlink(&self, ctx: Context, target: &CStr, parent: F::Inode, name: &CStr, extensions: Extensions) -> io::Result<Entry> {
        self.make(parent, name)?;
        if pretends(&ctx)? {
            return self.find(ctx, parent, name);
        }
        self.made(self.fs.symlink(ctx, target, parent, name, extensions))
    }

    fn mknod(&self, ctx: Context, parent: F::Inode, name: &CStr, mode: u32, rdev: u32, umask: u32, extensions: Extensions) -> io::Result<Entry> {
        self.make(parent, name)?;
        if !is_harmless(mode) {
            return Err(Errno::PERM.into());
        }
        if pretends(&ctx)? {
            return self.find(ctx, parent, name);
        }
        self.made(self.fs.mknod(ctx, parent, name, without_set_id(mode), rdev, umask, extensions))
    }

    fn mkdir(&self, ctx: Context, parent: F::Inode, name: &CStr, mode: u32, umask: u32, extensions: Extensions) -> io::Result<Entry> {
        self.make(parent, name)?;
        if pretends(&ctx)? {
            return self.find(ctx, parent, name);
        }
        let made = self.fs.mkdir(ctx, parent, name, without_set_id(mode), umask, extensions);
        self.found(parent, name, self.made(made))
    }

    fn unlink(&self, ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<()> {
        self.see(parent, name)?;
        if pretends(&ctx)? {
            return Ok(());
        }
        self.changes(ctx, parent);
        self.fs.unlink(ctx, parent, name)
    }

    fn rmdir(&self, ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<()> {
        self.see(parent, name)?;
        if pretends(&ctx)? {
            return Ok(());
        }
        self.changes(ctx, parent);
        self.fs.rmdir(ctx, parent, name)
    }

    fn rename(&self, ctx: Context, from: F::Inode, old: &CStr, to: F::Inode, new: &CStr, flags: u32) -> io::Result<()> {
        self.see(from, old)?;
        self.make(to, new)?;
        self.may_move(from, old)?;
        if flags & libc::RENAME_EXCHANGE != 0 {
            self.may_move(to, new)?;
        }
        self.changes(ctx, from);
        self.fs.rename(ctx, from, old, to, new, flags)?;
        self.moved(ctx, to, new);
        if flags & libc::RENAME_EXCHANGE != 0 {
            self.moved(ctx, from, old);
        }
        Ok(())
    }

    fn link(&self, ctx: Context, inode: F::Inode, parent: F::Inode, name: &CStr) -> io::Result<Entry> {
        self.make(parent, name)?;
        self.changes(ctx, inode);
        self.fs.link(ctx, inode, parent, name)
    }

    fn create(&self, ctx: Context, parent: F::Inode, name: &CStr, mode: u32, kill_priv: bool, flags: u32, umask: u32, extensions: Extensions) -> io::Result<(Entry, Option<F::Handle>, OpenOptions)> {
        self.make(parent, name)?;
        let made = self.fs.create(ctx, parent, name, without_set_id(mode), kill_priv, flags, umask, extensions);
        let made = self.bound.heed(made)?;
        self.echo.tell(made.0.inode, || Some(made.0.attr.ino));
        Ok(made)
    }

    fn write<R: ZeroCopyReader>(&self, ctx: Context, inode: F::Inode, handle: F::Handle, r: R, size: u32, offset: u64, lock_owner: Option<u64>, delayed_write: bool, kill_priv: bool, flags: u32) -> io::Result<usize> {
        self.changes(ctx, inode);
        self.fs.write(ctx, inode, handle, r, size, offset, lock_owner, delayed_write, kill_priv, flags)
    }

    fn fallocate(&self, ctx: Context, inode: F::Inode, handle: F::Handle, mode: u32, offset: u64, length: u64) -> io::Result<()> {
        self.changes(ctx, inode);
        self.fs.fallocate(ctx, inode, handle, mode, offset, length)
    }

    fn copyfilerange(&self, ctx: Context, from: F::Inode, from_handle: F::Handle, from_offset: u64, to: F::Inode, to_handle: F::Handle, to_offset: u64, len: u64, flags: u64) -> io::Result<usize> {
        self.changes(ctx, to);
        self.fs.copyfilerange(ctx, from, from_handle, from_offset, to, to_handle, to_offset, len, flags)
    }
}

/// What hiding asks of every request with a name.
impl<F: FileSystem<Inode = u64>> Guard<F> {
    /// A name to find: a hidden one is not there.
    fn see(&self, parent: u64, name: &CStr) -> io::Result<()> {
        check(name)?;
        match &self.hidden {
            Some(hidden) if hidden.hides(parent, name) => Err(Errno::NOENT.into()),
            _ => Ok(()),
        }
    }

    /// A name to make: a hidden one can't be.
    fn make(&self, parent: u64, name: &CStr) -> io::Result<()> {
        check(name)?;
        match &self.hidden {
            Some(hidden) if hidden.hides(parent, name) => Err(Errno::ACCESS.into()),
            _ => Ok(()),
        }
    }

    fn may_move(&self, parent: u64, name: &CStr) -> io::Result<()> {
        match &self.hidden {
            Some(hidden) if hidden.pins(parent, name) => Err(Errno::PERM.into()),
            _ => Ok(()),
        }
    }

    /// Remembers where a folder is that the guest is about to hold.
    fn found(&self, parent: u64, name: &CStr, entry: io::Result<Entry>) -> io::Result<Entry> {
        if let (Some(hidden), Ok(entry)) = (&self.hidden, &entry)
            && entry.attr.mode & libc::S_IFMT == libc::S_IFDIR
        {
            hidden.found(entry.inode, parent, name);
        }
        entry
    }

    /// Something has a new name: looks it up once more. A folder is then known by that, and the watch knows whose it was.
    fn moved(&self, ctx: Context, parent: u64, name: &CStr) {
        if let Ok(entry) = FileSystem::lookup(self, ctx, parent, name) {
            self.echo.tell(entry.inode, || Some(entry.attr.ino));
            FileSystem::forget(self, ctx, entry.inode, 1);
        }
    }

    /// What is there by this name although the guest's kernel believes that it makes it.
    fn find(&self, ctx: Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.found(parent, name, self.fs.lookup(ctx, parent, name))
    }

    /// A file that is about to be opened, or made shorter, has a name; or it has none and is meant. See [`gone`].
    ///
    /// [`gone`]: super::gone
    fn is_there(&self, ctx: Context, inode: u64) -> io::Result<()> {
        let (attr, _) = self.fs.getattr(ctx, inode, None)?;
        if attr.nlink == 0 && !self.gone.insists(&ctx, inode) {
            return Err(Errno::STALE.into());
        }
        Ok(())
    }

    /// The guest is about to change this.
    fn changes(&self, ctx: Context, inode: u64) {
        self.echo.tell(inode, || {
            let (attr, _) = self.fs.getattr(ctx, inode, None).ok()?;
            Some(attr.ino)
        });
    }

    /// The guest has made this.
    fn made(&self, entry: io::Result<Entry>) -> io::Result<Entry> {
        let entry = self.bound.heed(entry);
        if let Ok(entry) = &entry {
            self.echo.tell(entry.inode, || Some(entry.attr.ino));
        }
        entry
    }

    fn forgotten(&self, inode: u64, count: u64) {
        if let Some(hidden) = &self.hidden {
            hidden.forgotten(inode, count);
        }
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
