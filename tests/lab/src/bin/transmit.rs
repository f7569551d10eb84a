//! `transmit packet|bypass|xdp INTERFACE COUNT` sends broadcast frames of EtherType 0x88b5 in one of
//! three ways that CAP_NET_RAW allows: by a packet socket, by a packet socket that bypasses the queueing
//! discipline, and by an AF_XDP socket in copy mode.
//!
//! It prints nothing and fails if the kernel refuses. A frame that the kernel drops is no failure:
//! the frames are counted on the wire.

use std::ffi::CString;
use std::io::{Error, Result};
use std::mem::{size_of_val, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;

const FRAME_LENGTH: usize = 60;
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// The size of a buffer in the memory of an AF_XDP socket, in bytes.
const CHUNK: usize = 2048;
/// The number of buffers and of descriptors in each ring; a power of two.
const CHUNKS: usize = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [way, interface, count] => run(way, interface, count.parse().unwrap_or(0)),
        _ => Err(Error::other("usage: transmit packet|bypass|xdp INTERFACE COUNT")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transmit: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(way: &str, interface: &str, count: usize) -> Result<()> {
    let name = CString::new(interface)?;
    // SAFETY: `name` is a C string.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    match (way, index) {
        (_, 0) => Err(Error::last_os_error()),
        ("packet", _) => by_packet(index, &frame(interface)?, count, false),
        ("bypass", _) => by_packet(index, &frame(interface)?, count, true),
        ("xdp", _) => by_xdp(index, &frame(interface)?, count.min(CHUNKS)),
        _ => Err(Error::other("an unknown way")),
    }
}

/// A frame from the interface's own address, because the spoof check of the NIC drops others.
fn frame(interface: &str) -> Result<[u8; FRAME_LENGTH]> {
    // SAFETY: an all-zero `ifreq` is valid, because its fields and union members are plain data.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(15).zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    let socket = open(libc::AF_INET, libc::SOCK_DGRAM)?;
    // SAFETY: the kernel reads and writes `request`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) };
    if result != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: SIOCGIFHWADDR fills in this member.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
    let mut frame = [0; FRAME_LENGTH];
    frame[..6].fill(0xff);
    for (to, from) in frame[6..12].iter_mut().zip(address) {
        *to = from as u8;
    }
    frame[12..14].copy_from_slice(&ETHERTYPE);
    Ok(frame)
}

fn by_packet(index: u32, frame: &[u8], count: usize, bypass: bool) -> Result<()> {
    let socket = open(libc::AF_PACKET, libc::SOCK_RAW)?;
    if bypass {
        set(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1_i32)?;
    }
    // SAFETY: an all-zero `sockaddr_ll` is valid, because it consists of integers.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index as i32;
    bind(&socket, &address)?;
    for _ in 0..count {
        // SAFETY: `frame` outlives the call. The result does not tell whether the frame was dropped.
        unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
    }
    Ok(())
}

/// `Documentation/networking/af_xdp.rst`. The kernel requires all rings but the receive ring.
fn by_xdp(index: u32, frame: &[u8], count: usize) -> Result<()> {
    let socket = open(libc::AF_XDP, libc::SOCK_RAW)?;
    let memory = map(CHUNK * CHUNKS, -1, 0)?;
    for chunk in 0..CHUNKS {
        // SAFETY: each chunk is inside the mapping and longer than a frame.
        unsafe { memory.add(chunk * CHUNK).copy_from_nonoverlapping(frame.as_ptr(), frame.len()) };
    }
    // SAFETY: an all-zero structure is valid, because it consists of integers.
    let mut registration: libc::xdp_umem_reg = unsafe { zeroed() };
    registration.addr = memory as u64;
    registration.len = (CHUNK * CHUNKS) as u64;
    registration.chunk_size = CHUNK as u32;
    set(&socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)?;
    let size = CHUNKS as u32;
    for ring in [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_TX_RING] {
        set(&socket, libc::SOL_XDP, ring, &size)?;
    }
    let offsets = offsets(&socket)?.tx;
    let length = offsets.desc as usize + CHUNKS * size_of::<libc::xdp_desc>();
    let ring = map(length, socket.as_raw_fd(), libc::XDP_PGOFF_TX_RING as libc::off_t)?;
    // SAFETY: as above.
    let mut address: libc::sockaddr_xdp = unsafe { zeroed() };
    address.sxdp_family = libc::AF_XDP as u16;
    address.sxdp_ifindex = index;
    address.sxdp_flags = libc::XDP_COPY;
    bind(&socket, &address)?;
    for chunk in 0..count {
        let descriptor =
            libc::xdp_desc { addr: (chunk * CHUNK) as u64, len: FRAME_LENGTH as u32, options: 0 };
        // SAFETY: the ring has room for `CHUNKS` descriptors at this offset, and `count` is at most
        // that. The kernel keeps them aligned.
        unsafe {
            let at = ring.add(offsets.desc as usize).cast::<libc::xdp_desc>().add(chunk);
            at.write(descriptor);
        }
    }
    // SAFETY: the kernel has an aligned u32 at each of these offsets of the mapping, which lives
    // until the process ends.
    let (producer, consumer) = unsafe {
        let at = |offset: u64| &*ring.add(offset as usize).cast::<AtomicU32>();
        (at(offsets.producer), at(offsets.consumer))
    };
    producer.store(count as u32, Ordering::Release);
    // The kernel sends up to 32 frames in each call.
    for _ in 0..CHUNKS {
        if consumer.load(Ordering::Acquire) == count as u32 {
            return Ok(());
        }
        // SAFETY: without a buffer and an address, the kernel reads none.
        let sent = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::sendto(socket.as_raw_fd(), null_mut(), 0, flags, null_mut(), 0)
        };
        let error = Error::last_os_error();
        if sent < 0 && ![Some(libc::EAGAIN), Some(libc::EBUSY)].contains(&error.raw_os_error()) {
            return Err(error);
        }
    }
    Err(Error::other("the kernel does not take the frames"))
}

fn open(family: i32, kind: i32) -> Result<OwnedFd> {
    // SAFETY: the call has only integers.
    let socket = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
    match socket {
        ..0 => Err(Error::last_os_error()),
        // SAFETY: the descriptor is new.
        socket => Ok(unsafe { OwnedFd::from_raw_fd(socket) }),
    }
}

fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> Result<()> {
    let size = size_of_val(value) as libc::socklen_t;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: `value` is valid for `size` bytes.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, size) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

fn bind<T>(socket: &OwnedFd, address: &T) -> Result<()> {
    let size = size_of_val(address) as libc::socklen_t;
    // SAFETY: `address` is an address of this size.
    match unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(address).cast(), size) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

fn offsets(socket: &OwnedFd) -> Result<libc::xdp_mmap_offsets> {
    // SAFETY: an all-zero structure is valid, because it consists of integers.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { zeroed() };
    let mut size = size_of_val(&offsets) as libc::socklen_t;
    let to = (&raw mut offsets).cast();
    let option = libc::XDP_MMAP_OFFSETS;
    // SAFETY: the kernel writes at most `size` bytes to `offsets`.
    match unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, to, &raw mut size) }
    {
        0 => Ok(offsets),
        _ => Err(Error::last_os_error()),
    }
}

/// Maps memory of a descriptor, or anonymous memory for -1.
fn map(length: usize, descriptor: i32, offset: libc::off_t) -> Result<*mut u8> {
    let (access, anonymous) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_ANONYMOUS);
    let flags = if descriptor < 0 { libc::MAP_PRIVATE | anonymous } else { libc::MAP_SHARED };
    // SAFETY: the kernel chooses the address.
    let memory = unsafe { libc::mmap(null_mut(), length, access, flags, descriptor, offset) };
    match memory {
        libc::MAP_FAILED => Err(Error::last_os_error()),
        memory => Ok(memory.cast()),
    }
}
