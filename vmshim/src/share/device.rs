//! The folder server on the kernel's own FUSE device, for a container; a microVM's kernel asks over vhost-user.
//!
//! virtiofsd answers requests that lie in a virtqueue. So each thread has a queue of one place in its own memory, and
//! between it and the device bytes are moved by one `read` and one `write` a request.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use vhost_user_backend::bitmap::BitmapMmapRegion;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use virtiofsd::filesystem::FileSystem;
use virtiofsd::server::Server;
use vm_memory::bitmap::BS;
use vm_memory::{
    ByteValued, Bytes, GuestAddress, GuestMemory, ReadVolatile, VolatileMemoryError, VolatileSlice,
    WriteVolatile,
};

use super::answer::{Memory, answer};

/// Requests that are answered at the same time.
const THREADS: usize = 4;

/// The largest request and the largest answer: `max_write` of virtiofsd with room for headers. The kernel refuses to
/// hand requests to a reader with less (fuse_dev_do_read).
const MESSAGE: usize = (1 << 20) + 0x1000;

/// Where things are in a thread's memory.
const TABLE: u64 = 0;
const AVAILABLE: u64 = 0x100;
const REQUEST: u64 = 0x1000;
const ANSWER: u64 = REQUEST + MESSAGE as u64;
const SIZE: usize = 0x1000 + 2 * MESSAGE;

/// Of `struct fuse_in_header` and `fuse_read_in` (linux/fuse.h), the offsets that are of interest.
const OPCODE: u64 = REQUEST + 4;
const READ_SIZE: u64 = REQUEST + 40 + 16;
/// `FUSE_READ`, `FUSE_READDIR` and `FUSE_READDIRPLUS`.
const READS: [u32; 3] = [15, 28, 44];
/// `struct fuse_out_header`, in bytes.
const ANSWER_HEAD: usize = 16;

/// Descriptor flags of a split virtqueue.
const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// Answers until the file system is unmounted, which the end of the container does.
pub(super) fn serve<F>(fs: F, device: &OwnedFd) -> io::Result<()>
where
    F: FileSystem + Sync,
{
    let server = Server::new(fs);
    std::thread::scope(|scope| {
        let work = || Seat::new()?.work(&server, device);
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(io::Error::other("a thread of the server failed")))
        })
    })
}

/// One thread's memory and its queue.
struct Seat {
    memory: Memory,
    queue: Queue,
    /// Requests so far.
    turn: u16,
}

impl Seat {
    fn new() -> io::Result<Self> {
        let memory = Memory::from_ranges(&[(GuestAddress(0), SIZE)]);
        let memory = memory.map_err(io::Error::other)?;
        let mut queue = Queue::new(2).map_err(io::Error::other)?;
        let table = queue.try_set_desc_table_address(GuestAddress(TABLE));
        table.map_err(io::Error::other)?;
        let available = queue.try_set_avail_ring_address(GuestAddress(AVAILABLE));
        available.map_err(io::Error::other)?;
        queue.set_ready(true);
        Ok(Self {
            memory,
            queue,
            turn: 0,
        })
    }

    fn work<F: FileSystem + Sync>(
        mut self,
        server: &Server<F>,
        device: &OwnedFd,
    ) -> io::Result<()> {
        loop {
            let length = match self.receive(device) {
                Ok(length) => length,
                Err(error) => match Errno::from_io_error(&error) {
                    // Somebody gave up waiting before we took the request.
                    Some(Errno::NOENT | Errno::INTR | Errno::AGAIN) => continue,
                    Some(Errno::NODEV) => return Ok(()),
                    _ => return Err(error),
                },
            };
            let answer = self.answer(server, length)?;
            match self
                .send(device, answer)
                .map_err(|e| (Errno::from_io_error(&e), e))
            {
                // The one who asked is gone.
                Ok(()) | Err((Some(Errno::NOENT), _)) => {}
                Err((Some(Errno::NODEV), _)) => return Ok(()),
                Err((_, error)) => return Err(error),
            }
        }
    }

    /// Takes one request.
    fn receive(&self, device: &OwnedFd) -> io::Result<usize> {
        let mut place = self.slice(REQUEST, MESSAGE)?;
        device.as_fd().read_volatile(&mut place).map_err(plain)
    }

    /// Has virtiofsd answer the request of `length` bytes. Returns the answer's length; some requests have none.
    fn answer<F: FileSystem + Sync>(
        &mut self,
        server: &Server<F>,
        length: usize,
    ) -> io::Result<usize> {
        let request = u32::try_from(length).map_err(io::Error::other)?;
        let request = Descriptor::new(REQUEST, request, NEXT, 1);
        let room = Descriptor::new(ANSWER, self.room()?, WRITE, 0);
        self.turn = self.turn.wrapping_add(1);
        // Flags, number of requests so far, and the ring, whose places all say: the first descriptor.
        let available = [0, self.turn.to_le(), 0, 0];
        self.put(TABLE, request)?;
        self.put(TABLE + size_of::<Descriptor>() as u64, room)?;
        self.put(AVAILABLE, available)?;
        let chain = self.queue.pop_descriptor_chain(&self.memory);
        let chain = chain.ok_or(io::ErrorKind::InvalidData)?;
        answer(server, &self.memory, chain)
    }

    /// How long the answer may be. Over virtio the kernel gives as much room as it wants to read, and virtiofsd fills it.
    fn room(&self) -> io::Result<u32> {
        let room = match READS.contains(&self.word(OPCODE)?) {
            true => ANSWER_HEAD.saturating_add(self.word(READ_SIZE)? as usize),
            false => MESSAGE,
        };
        u32::try_from(room.min(MESSAGE)).map_err(io::Error::other)
    }

    fn send(&self, device: &OwnedFd, length: usize) -> io::Result<()> {
        if length > 0 {
            let answer = self.slice(ANSWER, length)?;
            device.as_fd().write_volatile(&answer).map_err(plain)?;
        }
        Ok(())
    }

    fn slice(
        &self,
        at: u64,
        length: usize,
    ) -> io::Result<VolatileSlice<'_, BS<'_, BitmapMmapRegion>>> {
        let slice = self.memory.get_slice(GuestAddress(at), length);
        slice.map_err(io::Error::other)
    }

    fn put<T: ByteValued>(&self, at: u64, value: T) -> io::Result<()> {
        let put = self.memory.write_obj(value, GuestAddress(at));
        put.map_err(io::Error::other)
    }

    fn word(&self, at: u64) -> io::Result<u32> {
        self.memory
            .read_obj(GuestAddress(at))
            .map_err(io::Error::other)
    }
}

fn plain(error: VolatileMemoryError) -> io::Error {
    match error {
        VolatileMemoryError::IOError(error) => error,
        error => io::Error::other(error),
    }
}
