//! Requests as a microVM's kernel makes them: in a queue, in pieces.

use std::io::Write as _;

use virtio_queue::desc::split::Descriptor;
use virtiofsd::fuse::{OutHeader, ROOT_ID};
use vm_memory::{ByteValued, Bytes, GuestAddress};

use super::super::guard::Guard;
use super::super::tests::shared;
use super::*;
use virtiofsd::fuse::Opcode;

/// Where things are in the guest's memory.
const TABLE: u64 = 0x100;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
const REQUEST: u64 = 0x3000;
const ANSWER: u64 = 0x8000;
const SIZE: usize = 0x10000;

const PLACES: u16 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// Of `fuse_init_in` and `fuse_init_out` (linux/fuse.h).
const INIT_EXT: u32 = 1 << 30;
const ALLOW_IDMAP: u64 = 1 << 40;
/// `FUSE_ASYNC_READ`, which virtiofsd takes, and nobody declines.
const ASYNC_READ: u64 = 1;

/// A guest's kernel.
struct Kernel {
    device: Device<Guard<virtiofsd::passthrough::PassthroughFs>>,
    memory: SharedMemory,
    queue: VringMutex<SharedMemory>,
    requests: u16,
}

impl Kernel {
    fn new(folder: &std::path::Path) -> Self {
        let memory = Memory::from_ranges(&[(GuestAddress(0), SIZE)]).unwrap();
        let memory = SharedMemory::new(memory);
        let queue = VringMutex::new(memory.clone(), PLACES).unwrap();
        queue.set_queue_info(TABLE, AVAILABLE, USED).unwrap();
        queue.set_queue_ready(true);
        queue.set_enabled(true);
        let device = Device::new(shared(folder));
        device.update_memory(memory.clone()).unwrap();
        Self {
            device,
            memory,
            queue,
            requests: 0,
        }
    }

    fn put<T: ByteValued>(&self, at: u64, value: T) {
        let memory = self.memory.memory();
        memory.write_obj(value, GuestAddress(at)).unwrap();
    }

    /// Has a request answered that is cut at these places. Whether there was an answer is told by its length.
    fn ask(&mut self, request: &[u8], cuts: &[usize]) -> Vec<u8> {
        let ends = cuts.iter().copied().chain([request.len()]);
        let (mut start, mut place, mut here) = (0, 0, REQUEST);
        for end in ends {
            let piece = &request[start..end];
            let memory = self.memory.memory();
            memory.write_slice(piece, GuestAddress(here)).unwrap();
            let length = piece.len().try_into().unwrap();
            self.describe(place, Descriptor::new(here, length, NEXT, place + 1));
            // The next piece is somewhere else.
            (start, place, here) = (end, place + 1, here + 0x200);
        }
        self.describe(place, Descriptor::new(ANSWER, 0x1000, WRITE, 0));
        let turn = u64::from(self.requests % PLACES);
        self.put(AVAILABLE + 4 + 2 * turn, 0_u16);
        self.requests += 1;
        self.put(AVAILABLE + 2, self.requests);

        let queues = [self.queue.clone(), self.queue.clone()];
        self.device
            .handle_event(1, EventSet::IN, &queues, 0)
            .unwrap();
        let memory = self.memory.memory();
        let used: u16 = memory.read_obj(GuestAddress(USED + 2)).unwrap();
        assert_eq!(used, self.requests, "each is given back");
        let length: u32 = memory
            .read_obj(GuestAddress(USED + 4 + 8 * turn + 4))
            .unwrap();
        let mut answer = vec![0; length.try_into().unwrap()];
        memory
            .read_slice(&mut answer, GuestAddress(ANSWER))
            .unwrap();
        answer
    }

    fn describe(&self, place: u16, descriptor: Descriptor) {
        self.put(TABLE + 16 * u64::from(place), descriptor);
    }
}

/// `fuse_in_header` and what follows.
fn request(opcode: Opcode, body: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = 40 + 4 * body.len() as u32;
    for word in [length, opcode as u32] {
        bytes.write_all(&word.to_le_bytes()).unwrap();
    }
    for long in [7, ROOT_ID, 0] {
        bytes.write_all(&u64::to_le_bytes(long)).unwrap();
    }
    bytes.write_all(&[0; 8]).unwrap();
    for word in body {
        bytes.write_all(&word.to_le_bytes()).unwrap();
    }
    bytes
}

/// Version, read-ahead and flags, the upper half of which newer kernels say in another place.
fn init() -> Vec<u8> {
    let flags = ASYNC_READ | ALLOW_IDMAP | u64::from(INIT_EXT);
    let mut body = vec![7, 41, 4096, flags as u32, (flags >> 32) as u32];
    body.extend([0; 11]);
    request(Opcode::Init, &body)
}

/// The flags that were agreed on.
fn agreed(answer: &[u8]) -> u64 {
    let word = |at: usize| {
        let at = size_of::<OutHeader>() + at;
        u64::from(u32::from_le_bytes(answer[at..at + 4].try_into().unwrap()))
    };
    // major, minor, max_readahead, flags; max_background and more, time_gran, max_pages and more, flags2
    word(12) | word(32) << 32
}

/// As Linux cuts it, in one piece, and in pieces that nobody would make.
const CUTS: [&[usize]; 7] = [
    &[40],
    &[],
    &[57],
    &[58],
    &[56, 57, 58],
    &[3, 5, 6, 41],
    &[40, 60],
];

#[test]
fn a_kernel_is_not_let_off_saying_as_whom_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    for cuts in CUTS {
        let mut kernel = Kernel::new(folder.path());
        // Also where it comes again, as after a restart of the guest.
        for time in ["first", "second"] {
            let flags = agreed(&kernel.ask(&init(), cuts));
            assert_eq!(flags & ALLOW_IDMAP, 0, "{time}, {cuts:?}");
            assert_eq!(flags & ASYNC_READ, ASYNC_READ, "{time}, {cuts:?}");
        }
    }
}

#[test]
fn a_request_without_sense_has_no_answer_and_others_have() {
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = Kernel::new(folder.path());
    let old = request(Opcode::Init, &[7, 31, 4096, 1]);
    for (request, cuts, answered) in [
        (&init()[..20], &[][..], false),
        (&init()[..44], &[40], false),
        (&init()[..58], &[40], false),
        (&old, &[40], true),
        (&request(Opcode::Open, &[]), &[], false),
        (&init(), &[40], true),
    ] {
        let answer = kernel.ask(request, cuts);
        assert_eq!(!answer.is_empty(), answered, "{} bytes", request.len());
    }
}

#[test]
fn a_queue_in_disorder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = Kernel::new(folder.path());
    let queues = [kernel.queue.clone(), kernel.queue.clone()];
    // More requests than there is room for.
    kernel.put(AVAILABLE + 2, 5 * PLACES);
    for queue in [0, 1, 2, u16::MAX] {
        let done = kernel.device.handle_event(queue, EventSet::IN, &queues, 0);
        done.unwrap();
    }
    kernel.put(AVAILABLE + 2, 0_u16);
    assert!(!kernel.ask(&init(), &[40]).is_empty());
}
