//! The program that `cargo fastboot doctor` builds, linked as `cargo fastboot build` links, and runs: it tries what the
//! runtime does in a freeze run and at start, and prints a line for each attempt. It uses no crates. The functions that
//! `--wrap` asks for are added at its end.
//!
//! Usage: probe [ADDRESS LENGTH]...    ranges of memory to reserve, in hexadecimal digits

use std::ffi::{c_int, c_long, c_uint, c_ulong, c_void};
use std::io::{Error, Write};

/// Gets a segment of its own, as the image does.
#[used]
#[unsafe(link_section = "fastboot")]
static mut PLACEHOLDER: [u8; 128] = [1; 128];

unsafe extern "C" {
    fn mmap(
        address: *mut c_void,
        length: usize,
        access: c_int,
        flags: c_int,
        file: c_int,
        offset: c_long,
    ) -> *mut c_void;
    fn personality(persona: c_ulong) -> c_int;
    fn sysconf(name: c_int) -> c_long;
    fn getrusage(who: c_int, usage: *mut [c_long; 18]) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize;
    fn __wrap_getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize;
}

const PROT_NONE: c_int = 0;
const PROT_READ: c_int = 1;
const MAP_PRIVATE: c_int = 0x2;
const MAP_ANONYMOUS: c_int = 0x20;
const MAP_NORESERVE: c_int = 0x4000;
const MAP_FIXED_NOREPLACE: c_int = 0x10_0000;
const ASK: c_ulong = 0xffff_ffff;
const ADDR_NO_RANDOMIZE: c_int = 0x4_0000;
const SC_PAGESIZE: c_int = 30;
const RUSAGE_SELF: c_int = 0;
/// Index of `ru_minflt` among the words of `struct rusage`.
const MINOR_FAULTS: usize = 8;
const SYS_ARCH_PRCTL: c_long = 158;
const ARCH_SET_CPUID: c_long = 0x1012;

fn main() -> std::io::Result<()> {
    // `--wrap` makes references to a function references to another one.
    let wrapped = getrandom as *const () == __wrap_getrandom as *const ();
    println!("wrapped {}", if wrapped { "yes" } else { "no" });
    // SAFETY: it only answers.
    println!("page {}", unsafe { sysconf(SC_PAGESIZE) });

    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|text| usize::from_str_radix(&text, 16).ok()).collect();
    for range in numbers.chunks_exact(2) {
        println!("reserve {}", reserve(range[0], range[1]));
    }
    println!("randomization {}", randomization());
    println!("cpuid-faulting {}", cpuid_faulting());
    println!("faults {}", faults_of_a_file()?);
    Ok(())
}

/// The range stays reserved: the next one is tried beside it.
fn reserve(address: usize, length: usize) -> String {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces none, and that nothing refers to.
    let got = unsafe { mmap(std::ptr::without_provenance_mut(address), length, PROT_NONE, flags, -1, 0) };
    match got.addr() {
        usize::MAX => Error::last_os_error().to_string(),
        there if there == address => "ok".to_owned(),
        _ => "taken".to_owned(),
    }
}

/// Turns address randomisation off, and on again, for what this process would execute next.
fn randomization() -> String {
    // SAFETY: changes how later mappings are placed, nothing that is there.
    let now = unsafe { personality(ASK) };
    for persona in [now | ADDR_NO_RANDOMIZE, now & !ADDR_NO_RANDOMIZE] {
        // SAFETY: as above.
        if now == -1 || unsafe { personality(persona as c_ulong) } == -1 {
            return Error::last_os_error().to_string();
        }
    }
    "ok".to_owned()
}

/// Has `cpuid` trap, and not trap again.
fn cpuid_faulting() -> String {
    // SAFETY: no `cpuid` is executed between the two calls.
    let denied = unsafe { syscall(SYS_ARCH_PRCTL, ARCH_SET_CPUID, 0 as c_long) };
    let error = Error::last_os_error();
    // SAFETY: the state that the process began with.
    unsafe { syscall(SYS_ARCH_PRCTL, ARCH_SET_CPUID, 1 as c_long) };
    if denied == 0 { "ok".to_owned() } else { error.to_string() }
}

/// Page faults of touching every page of 4 MiB of a file, written in one go beside this program.
fn faults_of_a_file() -> std::io::Result<c_long> {
    const LENGTH: usize = 4 << 20;
    let path = std::env::current_exe()?.with_extension("pages");
    let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.write_all(&vec![1; LENGTH])?;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let pages = unsafe { mmap(std::ptr::null_mut(), LENGTH, PROT_READ, MAP_PRIVATE, descriptor, 0) };
    if pages.addr() == usize::MAX {
        return Err(Error::last_os_error());
    }
    let before = minor_faults();
    for offset in (0..LENGTH).step_by(4096) {
        // SAFETY: inside the mapping, whose file is as long as it is.
        unsafe { pages.cast::<u8>().add(offset).read_volatile() };
    }
    let faults = minor_faults() - before;
    std::fs::remove_file(&path)?;
    Ok(faults)
}

fn minor_faults() -> c_long {
    let mut usage = [0; 18];
    // SAFETY: `struct rusage` is two times of two words each and fourteen words.
    unsafe { getrusage(RUSAGE_SELF, &raw mut usage) };
    usage[MINOR_FAULTS]
}
