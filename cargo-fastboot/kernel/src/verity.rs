//! fs-verity: the file system checks each page of a file that it reads against a hash, and nobody can write to it any more.
//!
//! The tool turns it on for a snapshot. The runtime only asks whether it is on.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `struct fsverity_enable_arg` of `<linux/fsverity.h>`.
#[repr(C)]
struct EnableArg {
    version: u32,
    hash_algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt_ptr: u64,
    sig_size: u32,
    reserved1: u32,
    sig_ptr: u64,
    reserved2: [u64; 11],
}

const _: () = assert!(size_of::<EnableArg>() == 128);

/// `FS_IOC_ENABLE_VERITY`: `_IOW('f', 133, struct fsverity_enable_arg)`.
const FS_IOC_ENABLE_VERITY: libc::c_ulong = 1 << 30 | 128 << 16 | 0x66 << 8 | 133;
/// `FS_VERITY_HASH_ALG_SHA256`.
const SHA256: u32 = 1;

/// Turns fs-verity on for a file that is open for reading, and for writing nowhere.
///
/// # Errors
/// Those of `FS_IOC_ENABLE_VERITY`: `EOPNOTSUPP` and `ENOTTY` where the kernel or the file system has no fs-verity.
pub fn enable_verity(file: &File) -> io::Result<()> {
    let argument = EnableArg {
        version: 1,
        hash_algorithm: SHA256,
        block_size: 4096,
        salt_size: 0,
        salt_ptr: 0,
        sig_size: 0,
        reserved1: 0,
        sig_ptr: 0,
        reserved2: [0; 11],
    };
    // SAFETY: the call reads the structure, which is the one it asks for; there is no salt and no signature.
    match unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_ENABLE_VERITY, &raw const argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
