//! Headers: what the ELF headers of the running executable say: its segments, its statics, its thread-locals.

use super::files::Descriptor;
use super::memory::copy_memory;
use super::symbols::weak_symbol;
use core::ops::Range;
use core::ptr;

/// The program headers of the running executable, and the distance by which it was loaded away from the addresses in it
/// (0 for non-PIE). `None` where nobody says.
#[inline]
pub(crate) fn program_headers() -> Option<(&'static [libc::Elf64_Phdr], usize)> {
    let (address, count) = linked_headers().or_else(announced_headers)?;
    // SAFETY: the executable's own ELF header, or the kernel, says that `count` program headers are at `address`, which
    // is aligned for them. They are in a read-only segment that stays mapped as long as the process runs.
    let headers =
        unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance::<libc::Elf64_Phdr>(address), count) };
    // PT_PHDR says where the headers are in the file's own addresses. Static executables from GNU ld have none; there
    // the segment at file offset 0 holds them, right behind the 64-byte ELF header.
    let linked_at =
        headers.iter().find(|header| header.p_type == libc::PT_PHDR).map(|header| header.p_vaddr).or_else(|| {
            let first = headers.iter().find(|header| header.p_type == libc::PT_LOAD && header.p_offset == 0)?;
            first.p_vaddr.checked_add(size_of::<libc::Elf64_Ehdr>() as u64)
        })?;
    Some((headers, address.wrapping_sub(linked_at as usize)))
}

/// Whether `/proc/self/exe` is this executable, and not a loader or an emulator that runs it.
pub(crate) fn is_executed_itself() -> bool {
    let Some((headers, _)) = program_headers() else { return false };
    let Ok(file) = Descriptor::open(None, c"/proc/self/exe", libc::O_RDONLY) else { return false };
    // The headers follow the ELF header, and say enough about a file to tell it from others.
    let mut at = size_of::<libc::Elf64_Ehdr>() as u64;
    headers.iter().all(|header| {
        let mut stored = [0; size_of::<libc::Elf64_Phdr>()];
        let read = file.read_at(&mut stored, at);
        at += stored.len() as u64;
        // SAFETY: a `repr(C)` struct of integers without padding, as many bytes as the array has.
        let loaded: [u8; size_of::<libc::Elf64_Phdr>()] = unsafe { core::mem::transmute_copy(header) };
        read == Ok(stored.len()) && stored == loaded
    })
}

/// Where the linker put the program headers, and how many: `__ehdr_start` is the ELF header, if it is loaded, and they
/// follow it unless a tool moved them. This needs nobody's word but the executable's own.
#[inline]
fn linked_headers() -> Option<(usize, usize)> {
    let address = weak_symbol!("__ehdr_start");
    if address == 0 || address % align_of::<libc::Elf64_Ehdr>() != 0 {
        return None;
    }
    // SAFETY: the linker defines the symbol only if the ELF header is part of a loaded segment, and as its address.
    let header = unsafe { &*ptr::with_exposed_provenance::<libc::Elf64_Ehdr>(address) };
    let follows = header.e_phoff == size_of::<libc::Elf64_Ehdr>() as u64
        && header.e_phentsize as usize == size_of::<libc::Elf64_Phdr>();
    follows.then_some((address + size_of::<libc::Elf64_Ehdr>(), header.e_phnum as usize))
}

/// Where the kernel says they are, and how many.
fn announced_headers() -> Option<(usize, usize)> {
    // SAFETY: `getauxval` only reads the auxiliary vector; absent entries give 0.
    let (address, count, size) =
        unsafe { (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM), libc::getauxval(libc::AT_PHENT)) };
    let address = address as usize;
    let sound = address != 0 && address % 8 == 0 && size as usize == size_of::<libc::Elf64_Phdr>();
    (sound && count != 0).then_some((address, count as usize))
}

/// Where the executable's segments begin.
pub(crate) fn executable_start() -> usize {
    let Some((headers, base)) = program_headers() else { return 0 };
    let starts = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    starts.map(|header| base.wrapping_add(header.p_vaddr as usize)).min().unwrap_or(base)
}

/// First address behind the executable's segments.
pub(crate) fn executable_end() -> usize {
    let Some((headers, base)) = program_headers() else { return 0 };
    let ends = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let ends = ends.filter(|header| !fastboot_format::image::HOME_WINDOW.contains(&header.p_vaddr));
    ends.map(|header| base.wrapping_add((header.p_vaddr + header.p_memsz) as usize)).max().unwrap_or(0)
}

/// Addresses of the current thread's copy of the executable's thread-locals. On x86-64 it ends, but for its alignment, at
/// the address in `fs` (ELF handling for thread-local storage, variant II).
pub(crate) fn thread_locals() -> Range<usize> {
    // SAFETY: `pthread_self` may be called at any time; in glibc and musl its value is the thread pointer.
    let pointer = unsafe { libc::pthread_self() } as usize;
    let (headers, _) = program_headers().unwrap_or((&[], 0));
    let Some(header) = headers.iter().find(|header| header.p_type == libc::PT_TLS) else { return pointer..pointer };
    let length = header.p_memsz as usize;
    let start = pointer - length.next_multiple_of((header.p_align as usize).max(1));
    start..start + length
}

/// The current thread's copy of the executable's thread-locals, as bytes, with the address of the first.
pub(crate) fn copy_thread_locals() -> (usize, Vec<u8>) {
    let range = thread_locals();
    // SAFETY: the C library keeps this thread's copy of the segment there for as long as the thread runs. Nothing but
    // this thread writes to it.
    (range.start, unsafe { copy_memory(range) })
}

/// All readable segments of the executable, where they are mapped.
pub(crate) fn loaded_segments() -> impl Iterator<Item = Range<usize>> {
    let (headers, base) = program_headers().unwrap_or((&[], 0));
    let is_one = |header: &&libc::Elf64_Phdr| {
        let home = fastboot_format::image::HOME_WINDOW.contains(&header.p_vaddr);
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0 && !home
    };
    headers.iter().filter(is_one).map(move |header| range(header, base))
}

/// What the loader made read-only again once it had written to it: it protects whole pages.
#[inline(always)]
fn protected(headers: &[libc::Elf64_Phdr], base: usize) -> Range<usize> {
    let relro = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO).map(|header| range(header, base));
    relro.map_or(0..0, |relro| relro.start..relro.end & !(fastboot_format::image::PAGE - 1))
}

/// The same, as bytes, with the address of the first.
pub(crate) fn copy_protected() -> (usize, Vec<u8>) {
    let (headers, base) = program_headers().unwrap_or((&[], 0));
    let range = protected(headers, base);
    // SAFETY: part of a segment that stays mapped, readable, and that nobody can write to.
    (range.start, if range.is_empty() { Vec::new() } else { unsafe { copy_memory(range) } })
}

/// Where a segment is mapped.
#[inline(always)]
fn range(header: &libc::Elf64_Phdr, base: usize) -> Range<usize> {
    let start = base.wrapping_add(header.p_vaddr as usize);
    start..start.wrapping_add(header.p_memsz as usize)
}

/// The executable's writable segments, where they are mapped: what holds its statics. Without what the loader made
/// read-only again, and without the one at `own`, which is the `fastboot` section's.
#[inline]
pub(crate) fn writable_segments(own: Option<usize>) -> impl Iterator<Item = Range<usize>> {
    let (headers, base) = program_headers().unwrap_or((&[], 0));
    let protected = protected(headers, base);
    headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W != 0)
        .map(move |header| range(header, base))
        .filter(move |segment| {
            Some(segment.start) != own && !fastboot_format::image::HOME_WINDOW.contains(&(segment.start as u64))
        })
        .map(
            move |segment| {
                if protected.contains(&segment.start) { protected.end.min(segment.end)..segment.end } else { segment }
            },
        )
        .filter(|segment| !segment.is_empty())
}
