//! The little of bpf(2) that steering takes. No crate: those there are bring a loader of object files.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Insn {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Insn {
    const fn new(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Self {
        Self {
            code,
            registers: from << 4 | to,
            offset,
            immediate,
        }
    }

    pub(super) const fn mov(to: u8, from: u8) -> Self {
        Self::new(0xbf, to, from, 0, 0)
    }

    pub(super) const fn set(to: u8, value: i32) -> Self {
        Self::new(0xb7, to, 0, 0, value)
    }

    pub(super) const fn add(to: u8, value: i32) -> Self {
        Self::new(0x07, to, 0, 0, value)
    }

    pub(super) const fn load32(to: u8, base: u8, offset: i16) -> Self {
        Self::new(0x61, to, base, offset, 0)
    }

    pub(super) const fn store32(base: u8, offset: i16, value: i32) -> Self {
        Self::new(0x62, base, 0, offset, value)
    }

    /// Big-endian to the machine's own.
    pub(super) const fn from_network32(register: u8) -> Self {
        Self::new(0xdc, register, 0, 0, 32)
    }

    pub(super) const fn jump32_ne(register: u8, value: i32, over: i16) -> Self {
        Self::new(0x56, register, 0, over, value)
    }

    pub(super) const fn jump32_eq(register: u8, value: i32, over: i16) -> Self {
        Self::new(0x16, register, 0, over, value)
    }

    /// Unsigned.
    pub(super) const fn jump32_lt(register: u8, value: i32, over: i16) -> Self {
        Self::new(0xa6, register, 0, over, value)
    }

    /// Unsigned.
    pub(super) const fn jump32_gt(register: u8, value: i32, over: i16) -> Self {
        Self::new(0x26, register, 0, over, value)
    }

    pub(super) const fn jump_eq(register: u8, value: i32, over: i16) -> Self {
        Self::new(0x15, register, 0, over, value)
    }

    pub(super) const fn call(helper: i32) -> Self {
        Self::new(0x85, 0, 0, 0, helper)
    }

    pub(super) const fn exit() -> Self {
        Self::new(0x95, 0, 0, 0, 0)
    }

    /// A pointer takes two instructions.
    pub(super) const fn load_map(to: u8, map: i32) -> [Self; 2] {
        const PSEUDO_MAP_FD: u8 = 1;
        [
            Self::new(0x18, to, PSEUDO_MAP_FD, 0, map),
            Self::new(0, 0, 0, 0, 0),
        ]
    }
}

const MAP_CREATE: i64 = 0;
const MAP_UPDATE_ELEM: i64 = 2;
const PROG_LOAD: i64 = 5;
const LINK_CREATE: i64 = 28;

const MAP_TYPE_SOCKMAP: u32 = 15;
const PROG_TYPE_SK_LOOKUP: u32 = 30;
const ATTACH_SK_LOOKUP: u32 = 36;

/// Two fields of 32 bits that share a word of `union bpf_attr`.
fn pair(first: u32, second: u32) -> u64 {
    let [a, b, c, d] = first.to_ne_bytes();
    let [e, f, g, h] = second.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// `attr` is as much of `union bpf_attr` as the command reads; the kernel takes the rest as zero.
fn bpf(command: i64, attr: &[u64]) -> io::Result<i32> {
    // SAFETY: `attr` is valid for the size given, and every pointer in it was made by a caller below
    // from a reference that outlives this call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(attr)) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

fn descriptor(command: i64, attr: &[u64]) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just made this descriptor, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: &impl AsRawFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// A pointer, as the kernel takes it.
fn address<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>().expose_provenance() as u64
}

/// A map with room for one socket.
pub(super) fn socket_map() -> io::Result<OwnedFd> {
    let (key_size, value_size, entries) = (4, 8, 1);
    descriptor(
        MAP_CREATE,
        &[pair(MAP_TYPE_SOCKMAP, key_size), pair(value_size, entries)],
    )
}

/// Makes the socket the map's only entry.
pub(super) fn put(map: &OwnedFd, socket: BorrowedFd<'_>) -> io::Result<()> {
    let (key, value) = (0_u32, u64::from(number(&socket)));
    let attr = [pair(number(map), 0), address(&key), address(&value)];
    bpf(MAP_UPDATE_ELEM, &attr).map(drop)
}

/// Has the kernel check and keep a program.
pub(super) fn load(program: &[Insn]) -> io::Result<OwnedFd> {
    let count = u32::try_from(program.len()).map_err(io::Error::other)?;
    let what = pair(PROG_TYPE_SK_LOOKUP, count);
    let license = address(c"Apache-2.0");
    // Words 3 to 7: log, kernel version, flags, name. Word 8: interface, expected attach type.
    let (unused, attach) = (0, pair(0, ATTACH_SK_LOOKUP));
    let rest = [unused, unused, unused, unused, unused, attach];
    let attr = [[what, address(program), license].as_slice(), &rest].concat();
    descriptor(PROG_LOAD, &attr)
}

/// Attaches a program to a network namespace for as long as the returned descriptor is open.
pub(super) fn attach(program: &OwnedFd, network: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attr = [
        pair(number(program), number(&network)),
        pair(ATTACH_SK_LOOKUP, 0),
    ];
    descriptor(LINK_CREATE, &attr)
}
