//! One request, answered by virtiofsd: what a microVM's kernel and this machine's have in common.

use std::io;
use std::ops::Deref;

use vhost_user_backend::bitmap::BitmapMmapRegion;
use virtio_queue::DescriptorChain;
use virtiofsd::descriptor_utils::{Reader, Writer};
use virtiofsd::filesystem::FileSystem;
use virtiofsd::fuse::{InHeader, Opcode};
use virtiofsd::server::Server;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemory, GuestMemoryMmap};

/// Memory that requests lie in. The bitmap, of what changes there, is virtiofsd's wish; nobody reads it.
pub(super) type Memory = GuestMemoryMmap<BitmapMmapRegion>;

/// `FUSE_ALLOW_IDMAP` of `fuse_init_in` (linux/fuse.h): bit 40 of the flags is in the second byte of `flags2`, which is
/// the fifth word after the header.
const IDMAP_BYTE: u32 = 40 + 4 * 4 + 1;
const IDMAP_BIT: u8 = 1;

/// Answers the request in the chain's readable part in its writable one. Returns the answer's length; some requests have
/// none.
pub(super) fn answer<F, M>(
    server: &Server<F>,
    memory: &Memory,
    chain: DescriptorChain<M>,
) -> io::Result<usize>
where
    F: FileSystem + Sync,
    M: Clone + Deref,
    M::Target: GuestMemory + Sized,
{
    let request = Reader::new(memory, chain.clone()).map_err(io::Error::other)?;
    let head: InHeader = request.clone().read_obj()?;
    if head.opcode == Opcode::Init as u32 {
        decline_idmap(memory, chain.clone())?;
    }
    let room = Writer::new(memory, chain).map_err(io::Error::other)?;
    server
        .handle_message(request, room, None::<&mut ()>)
        .map_err(io::Error::other)
}

/// virtiofsd says yes to mapped mounts, and from then on the kernel (6.12 and later) does not say as whom a file is
/// changed or removed. Then pretence would be taken for the deed; see [`wire::message::PRETENCE`].
///
/// A hostile guest can write the flag again behind our back. What it then can't say any more hurts only itself.
fn decline_idmap<M>(memory: &Memory, chain: DescriptorChain<M>) -> io::Result<()>
where
    M: Clone + Deref,
    M::Target: GuestMemory,
{
    let Some(place) = place(chain, IDMAP_BYTE) else {
        return Ok(()); // a kernel from before there were that many flags
    };
    let flags: u8 = memory.read_obj(place).map_err(io::Error::other)?;
    let declined = memory.write_obj(flags & !IDMAP_BIT, place);
    declined.map_err(io::Error::other)
}

/// Where the request's byte number `at` is; a request may lie in pieces.
fn place<M>(chain: DescriptorChain<M>, mut at: u32) -> Option<GuestAddress>
where
    M: Clone + Deref,
    M::Target: GuestMemory,
{
    for piece in chain.readable() {
        match at.checked_sub(piece.len()) {
            Some(beyond) => at = beyond,
            None => return piece.addr().checked_add(at.into()),
        }
    }
    None
}
