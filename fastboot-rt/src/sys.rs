//! The system calls of the runtime, and what the kernel tells a process about itself. All of it is here.

mod kernel;
mod threads;

pub(crate) use kernel::raw_syscall;
pub(crate) use threads::{
    attributes_with_stack, call_with_cleared_registers, is_there, run_on_stack, thread_id, wait, wake, yield_now,
};

use core::ffi::CStr;
use core::fmt;
use core::ops::Range;
use core::ptr;
use libc::{c_int, c_long, c_void};

/// The address of a symbol that may not be there: 0 when nobody defines it.
///
/// Stable Rust has no weak references. In assembly they are a directive, and a load from the global offset table.
macro_rules! weak_symbol {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: loads one word from the global offset table: the symbol's address, or 0 if nobody defines it. Reads
        // no other memory, changes no flags and no stack.
        unsafe {
            ::core::arch::asm!(
                concat!(".weak ", $name),
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) address,
                options(nostack, preserves_flags, pure, readonly)
            );
        }
        address
    }};
}
pub(crate) use weak_symbol;

/// What the last call that failed left in `errno`.
pub(crate) fn errno() -> i32 {
    // SAFETY: the C library returns the address of this thread's `errno`, always valid.
    unsafe { *libc::__errno_location() }
}

/// Whether the process runs with privileges its user does not have (`AT_SECURE`): then the environment is not trusted.
#[inline]
pub(crate) fn secure() -> bool {
    // SAFETY: `getauxval` only reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The value of an environment variable. Only before `main`, where nothing changes the environment.
#[inline]
pub(crate) fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` is a C string. The caller runs before `main`: no other thread, no `setenv`, so the string stays.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: not null, hence a C string in the environment block, which lives as long as the process.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Whether there are environment variables whose names begin with `prefix`. Only before `main`. Calls nothing, so that a
/// program whose environment says nothing of us starts without touching the code of the C library for it.
#[inline]
pub(crate) fn has_variables(prefix: &[u8]) -> bool {
    let begins = |variable: *const libc::c_char| {
        // SAFETY: a C string; no byte behind one that differs is read, and the last one, 0, is in no prefix.
        prefix.iter().enumerate().all(|(index, byte)| unsafe { *variable.add(index) } as u8 == *byte)
    };
    environment().any(begins)
}

/// All environment variables, each with its name and value. Only before `main`.
pub(crate) fn variables() -> impl Iterator<Item = &'static CStr> {
    // SAFETY: a C string that lives as long as the process.
    environment().map(|variable| unsafe { CStr::from_ptr(variable) })
}

/// The environment's C strings, which live as long as the process. Only before `main`.
#[inline]
fn environment() -> impl Iterator<Item = *const libc::c_char> {
    unsafe extern "C" {
        /// Not every C library passes it to the entries of `.init_array`.
        #[link_name = "environ"]
        static ENVIRONMENT: *const *const libc::c_char;
    }
    // SAFETY: the C library set it before it called us, and the caller runs before `main`: nobody changes it.
    let environment = unsafe { ENVIRONMENT };
    (0..).map_while(move |index| {
        // SAFETY: null, or an array of pointers to C strings that ends with a null pointer, behind which none is read.
        let variable = if environment.is_null() { ptr::null() } else { unsafe { *environment.add(index) } };
        (!variable.is_null()).then_some(variable)
    })
}

/// What the kernel was asked to execute.
pub(crate) fn executed_path() -> &'static CStr {
    // SAFETY: `getauxval` only reads the auxiliary vector.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    // SAFETY: absent, or the address of a C string on the initial stack, which lives as long as the process.
    if path == 0 { c"" } else { unsafe { CStr::from_ptr(ptr::with_exposed_provenance(path)) } }
}

/// Removes an environment variable, so that child processes do not see it. Only before there is a second thread.
pub(crate) fn remove_variable(name: &CStr) {
    // SAFETY: `name` is a C string, and no other thread reads the environment.
    unsafe { libc::unsetenv(name.as_ptr()) };
}

/// Nanoseconds since some fixed moment.
#[inline]
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; `CLOCK_MONOTONIC` always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// One line on standard error, put together without allocating and written with one call.
pub(crate) struct Line {
    bytes: [u8; 1024],
    length: usize,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }

    /// The line, ended with a newline.
    pub(crate) fn finish(&mut self) -> &[u8] {
        let end = self.length.min(self.bytes.len() - 1);
        self.bytes[end] = b'\n';
        &self.bytes[..=end]
    }

    /// Writes the line. Errors are ignored: there is nobody to tell.
    pub(crate) fn print(mut self) {
        let line = self.finish();
        // SAFETY: a slice is readable.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A longer line is cut, which is better than none.
        for (to, from) in self.bytes[self.length..].iter_mut().zip(text.as_bytes()) {
            *to = *from;
            self.length += 1;
        }
        Ok(())
    }
}

/// Ends the process at once, without running anything more of the program.
pub(crate) fn exit(code: c_int) -> ! {
    loop {
        // SAFETY: it may be called at any time, and does not return.
        unsafe { kernel::exit_group(code) };
    }
}

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
    if address == 0 || !address.is_multiple_of(align_of::<libc::Elf64_Ehdr>()) {
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
    let sound = address != 0 && address.is_multiple_of(8) && size as usize == size_of::<libc::Elf64_Phdr>();
    (sound && count != 0).then_some((address, count as usize))
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

/// First address behind the heap of the C library.
pub(crate) fn heap_end() -> usize {
    // SAFETY: brk(2), "C library/kernel differences": on failure it returns the current break, and there is none at 0.
    unsafe { kernel::brk(0) }
}

/// The current thread's copy of the executable's thread-locals, as bytes, with the address of the first.
pub(crate) fn copy_thread_locals() -> (usize, Vec<u8>) {
    let range = thread_locals();
    // SAFETY: the C library keeps this thread's copy of the segment there for as long as the thread runs. Nothing but
    // this thread writes to it.
    (range.start, unsafe { copy_memory(range) })
}

/// What memory holds, whatever it is: as bytes, which are not used as values.
///
/// Not with `memcpy`, in whose place sanitizers have one that objects to what lies between two statics.
///
/// # Safety
/// The range is mapped and readable. What another thread writes to meanwhile comes out as some mixture of old and new.
pub(crate) unsafe fn copy_memory(range: Range<usize>) -> Vec<u8> {
    let mut bytes = vec![0u8; range.len()];
    // SAFETY: reads the range, which the caller promises to be readable, and writes as many bytes to `bytes`, another
    // allocation. The direction flag is clear, as it always is in Rust code.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") range.len() => _, inout("rsi") range.start => _, inout("rdi") bytes.as_mut_ptr() => _,
            options(nostack, preserves_flags)
        );
    }
    bytes
}

/// Reserves `length` bytes of address space at exactly `address`, without access and without cost.
///
/// # Errors
/// The `errno`; `EEXIST` when something is mapped there, also from kernels before 4.17, which do not know the flag.
pub(crate) fn reserve(address: usize, length: usize) -> Result<(), i32> {
    // mmap(2), MAP_FIXED_NOREPLACE: "if the requested range would collide with an existing mapping, then this call
    // fails with the error EEXIST".
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces none.
    let got = unsafe { kernel::mmap(ptr::without_provenance_mut(address), length, libc::PROT_NONE, flags, -1, 0) };
    if got == libc::MAP_FAILED {
        return Err(errno());
    }
    if got.addr() != address {
        // SAFETY: the mapping was made just now, by this function, and nobody knows of it.
        unsafe { kernel::munmap(got, length) };
        return Err(libc::EEXIST);
    }
    Ok(())
}

/// Gives back what [`reserve`] reserved, or [`map_private`] mapped.
pub(crate) fn release(address: usize, length: usize) {
    // SAFETY: callers pass a range that they got themselves and that nothing refers to.
    unsafe { kernel::munmap(ptr::without_provenance_mut(address), length) };
}

/// Makes pages readable and writable.
///
/// # Errors
/// The `errno`, such as `ENOMEM`.
pub(crate) fn make_writable(address: usize, length: usize) -> Result<(), i32> {
    protect(address, length, true)
}

/// Moves the pages of `from` to `to`, if nothing is there.
///
/// # Safety
/// Nothing refers to the memory at `from`, now or later, and nobody wrote to it. Both are page-aligned.
///
/// # Errors
/// The `errno`; then `from` is as it was. `EEXIST` when something is mapped there.
#[inline]
pub(crate) unsafe fn move_pages(from: Range<usize>, to: usize) -> Result<(), i32> {
    // mremap(2), MREMAP_DONTUNMAP: the new address is a hint, taken if there is room enough, and the old mapping stays,
    // without pages. All in one call, which takes half as long as to reserve the place first. It is removed, because it
    // would count against limits, and `mlockall` would fill it.
    // SAFETY: a new mapping that replaces none. What is at `from` is read from its file again, where it was not changed.
    match unsafe { remap(&from, to, libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP) } {
        Ok(got) if got == to => {
            release(from.start, from.len());
            return Ok(());
        }
        Ok(elsewhere) => release(elsewhere, from.len()),
        Err(_) => {}
    }
    // SAFETY: the caller's promise.
    unsafe { move_to_reserved(from, to) }
}

/// The same for kernels before 5.13, where there is no address space for both, and where the place is taken or tight.
///
/// # Safety
/// That of [`move_pages`].
#[cold]
#[inline(never)]
unsafe fn move_to_reserved(from: Range<usize>, to: usize) -> Result<(), i32> {
    let length = from.len();
    reserve(to, length)?;
    // mremap(2), MREMAP_FIXED: "any previous mapping at the address range specified by new_address and new_size is
    // unmapped".
    // SAFETY: that is the reservation just made; nothing refers to either range.
    let moved = unsafe { remap(&from, to, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) };
    if moved.is_err() {
        release(to, length);
    }
    moved.map(drop)
}

/// `mremap` to another address, of the same length.
///
/// # Safety
/// That of the flags.
#[inline]
unsafe fn remap(from: &Range<usize>, to: usize, flags: c_int) -> Result<usize, i32> {
    let (old, new) = (ptr::without_provenance_mut::<c_void>(from.start), ptr::without_provenance_mut::<c_void>(to));
    // SAFETY: the caller's promise.
    let got = unsafe { kernel::mremap(old, from.len(), from.len(), flags, new) };
    if got == libc::MAP_FAILED { Err(errno()) } else { Ok(got.addr()) }
}

/// Makes pages writable, or read-only.
///
/// # Errors
/// The `errno`, such as `ENOMEM`.
pub(crate) fn protect(address: usize, length: usize, writable: bool) -> Result<(), i32> {
    let access = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
    // SAFETY: callers pass the pages of an image that nothing refers to yet, or of their own reservation, which had no access
    // and hence no references into it, or is writable already.
    let result = unsafe { kernel::mprotect(ptr::without_provenance_mut(address), length, access) };
    if result == 0 { Ok(()) } else { Err(errno()) }
}

/// An open file, closed when it is dropped. Not `std`'s, because before `main` nothing may allocate.
pub(crate) struct Descriptor(c_int);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the number is this value's alone.
        unsafe { libc::close(self.0) };
    }
}

impl Descriptor {
    /// Opens `path`, relative to `folder` or else to the working directory, and not for child processes.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn open(folder: Option<&Self>, path: &CStr, flags: c_int) -> Result<Self, i32> {
        let folder = folder.map_or(libc::AT_FDCWD, |folder| folder.0);
        // SAFETY: `path` is a C string.
        let number = unsafe { kernel::openat(folder, path.as_ptr(), flags | libc::O_CLOEXEC, 0) };
        if number < 0 { Err(errno()) } else { Ok(Self(number)) }
    }

    /// Opens the file `name` in `folder` for reading and writing, and makes it if it is not there: for this user alone, and
    /// not for child processes. A symbolic link is an error.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn make(folder: &Self, name: &CStr) -> Result<Self, i32> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOCTTY;
        let mode: libc::c_uint = 0o600;
        // SAFETY: `name` is a C string, and `O_CREAT` has the mode it asks for.
        let number = unsafe { kernel::openat(folder.0, name.as_ptr(), flags, mode) };
        if number < 0 { Err(errno()) } else { Ok(Self(number)) }
    }

    /// Locks the file for as long as this descriptor, or a copy of it in any process, is open; waits for others if asked
    /// to. `false` if another process has it locked.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn lock(&self, wait: bool) -> Result<bool, i32> {
        let how = libc::LOCK_EX | if wait { 0 } else { libc::LOCK_NB };
        loop {
            // SAFETY: locks a descriptor of this value's own.
            if unsafe { libc::flock(self.0, how) } == 0 {
                return Ok(true);
            }
            match errno() {
                libc::EINTR => {}
                libc::EWOULDBLOCK => return Ok(false),
                errno => return Err(errno),
            }
        }
    }

    /// Makes `text` all that the file holds.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn replace_with(&self, text: &[u8]) -> Result<(), i32> {
        // SAFETY: `text` is readable and as long as said; no memory is involved otherwise.
        let written = unsafe {
            if libc::ftruncate(self.0, 0) != 0 {
                return Err(errno());
            }
            libc::pwrite(self.0, text.as_ptr().cast(), text.len(), 0)
        };
        match usize::try_from(written) {
            Ok(length) if length == text.len() => Ok(()),
            Ok(_) => Err(libc::ENOSPC),
            Err(_) => Err(errno()),
        }
    }

    /// Removes the file `name` from this folder, if it is there.
    pub(crate) fn remove(&self, name: &CStr) {
        // SAFETY: `name` is a C string.
        unsafe { libc::unlinkat(self.0, name.as_ptr(), 0) };
    }

    /// The same, as `std` has it.
    pub(crate) fn into_owned(self) -> std::os::fd::OwnedFd {
        use std::os::fd::FromRawFd;
        let number = core::mem::ManuallyDrop::new(self).0;
        // SAFETY: the number was this value's alone, and is not closed by it any more.
        unsafe { std::os::fd::OwnedFd::from_raw_fd(number) }
    }

    /// What the file is.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn status(&self) -> Result<libc::stat, i32> {
        let mut status = core::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `status` is writable.
        let result = unsafe { kernel::fstat(self.0, status.as_mut_ptr()) };
        // SAFETY: filled in by a call that succeeded.
        if result == 0 { Ok(unsafe { status.assume_init() }) } else { Err(errno()) }
    }

    /// What the file at `path`, relative to this folder, is.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn status_at(&self, path: &CStr) -> Result<libc::stat, i32> {
        let mut status = core::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `path` is a C string, `status` is writable.
        let result = unsafe { libc::fstatat(self.0, path.as_ptr(), status.as_mut_ptr(), 0) };
        // SAFETY: filled in by a call that succeeded.
        if result == 0 { Ok(unsafe { status.assume_init() }) } else { Err(errno()) }
    }

    /// Whether fs-verity protects the file.
    pub(crate) fn has_verity(&self) -> bool {
        let mut status = core::mem::MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: an empty C string, which AT_EMPTY_PATH makes stand for the descriptor; `status` is writable.
        let result = unsafe { libc::statx(self.0, c"".as_ptr(), libc::AT_EMPTY_PATH, 0, status.as_mut_ptr()) };
        // SAFETY: all its bytes were zero, which is a valid `statx`.
        let status = unsafe { status.assume_init() };
        // statx(2): "Not all attributes may be supported by a filesystem", which the mask tells.
        let verity = libc::STATX_ATTR_VERITY as u64;
        result == 0 && status.stx_attributes & status.stx_attributes_mask & verity != 0
    }

    /// Reads from an offset on, and says how many bytes there were: fewer than asked for at the end of the file only.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn read_at(&self, to: &mut [u8], offset: u64) -> Result<usize, i32> {
        // SAFETY: `to` is writable and as long as said.
        let read = unsafe { kernel::pread(self.0, to.as_mut_ptr().cast(), to.len(), offset as libc::off_t) };
        usize::try_from(read).map_err(|_| errno())
    }
}

/// Reads a symbolic link, and says how many bytes it has.
///
/// # Errors
/// The `errno`; `ENAMETOOLONG` when it does not fit.
pub(crate) fn read_link(path: &CStr, to: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: `path` is a C string; `to` is writable and as long as said.
    let read = unsafe { libc::readlink(path.as_ptr(), to.as_mut_ptr().cast(), to.len()) };
    match usize::try_from(read) {
        // It may have been cut off.
        Ok(length) if length == to.len() => Err(libc::ENAMETOOLONG),
        Ok(length) => Ok(length),
        Err(_) => Err(errno()),
    }
}

/// How many bytes of address space the process may have.
pub(crate) fn address_space() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is writable; if the call fails it stays as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    limit.rlim_cur
}

/// Makes a folder for this user alone. One that is there already is no error.
///
/// # Errors
/// The `errno`.
pub(crate) fn make_folder(path: &CStr) -> Result<(), i32> {
    // SAFETY: `path` is a C string.
    let result = unsafe { libc::mkdir(path.as_ptr(), 0o700) };
    if result == 0 || errno() == libc::EEXIST { Ok(()) } else { Err(errno()) }
}

/// Seconds since 1970.
pub(crate) fn seconds_now() -> i64 {
    // SAFETY: with a null pointer `time` only returns its value.
    unsafe { libc::time(ptr::null_mut()) }
}

/// Whether processes whose parents end may become children of this one: it would have to wait for them.
pub(crate) fn adopts_orphans() -> bool {
    let mut reaper: c_int = 0;
    // SAFETY: `getpid` may be called at any time; `reaper` is writable.
    unsafe { libc::getpid() == 1 || (libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut reaper) == 0 && reaper != 0) }
}

/// Starts this executable anew as nobody's child, with `stdin` as its standard input. Only before there is a second thread,
/// or as long as the others do not matter: between this and `execve` nothing but system calls is made.
///
/// # Safety
/// `arguments` and `environment` are arrays of pointers to C strings that end with a null pointer.
///
/// # Errors
/// The `errno`; none if it is `execve` that fails.
pub(crate) unsafe fn start_detached(
    arguments: *const *const libc::c_char,
    environment: *const *const libc::c_char,
    stdin: &Descriptor,
) -> Result<(), i32> {
    // clone(2) without flags for memory or stack is fork(2). The child in between has no signal for its end, so that nobody
    // hears of it: no handler, no `SIGCHLD` that stays pending because it is blocked, and no `wait` without `__WALL`. Tracers
    // are not to follow it, because they would take it for a thread.
    // SAFETY: the child is a copy of this process. It and its own child make system calls, and end in `execve` or `_exit`;
    // the pointers are valid by the caller's promise, in the copies too.
    unsafe {
        let child = raw_syscall(libc::SYS_clone, [libc::CLONE_UNTRACED.into(), 0, 0, 0, 0, 0]);
        if child == 0 {
            let grandchild = raw_syscall(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0, 0]);
            if grandchild == 0 {
                // dup2(2): equal numbers change nothing, hence the third call.
                libc::dup2(stdin.0, libc::STDIN_FILENO);
                libc::fcntl(libc::STDIN_FILENO, libc::F_SETFD, 0);
                libc::execve(c"/proc/self/exe".as_ptr(), arguments, environment);
                libc::_exit(127);
            }
            libc::_exit(if grandchild < 0 { errno() } else { 0 });
        }
        if child < 0 {
            return Err(errno());
        }
        let mut status = 0;
        while libc::waitpid(child as libc::pid_t, &raw mut status, libc::__WALL) < 0 && errno() == libc::EINTR {}
        if status == 0 { Ok(()) } else { Err(libc::WEXITSTATUS(status)) }
    }
}

/// Executes this executable anew in this process, in the same environment. Returns if that fails. Only before `main`, and
/// as long as no constructor has left a thread that changes the environment.
pub(crate) fn execute_itself(arguments: &[&CStr]) {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).chain([ptr::null()]).collect();
    let environment: Vec<_> = environment().chain([ptr::null()]).collect();
    // SAFETY: a path and arrays of C strings that end with a null pointer, all alive. On success nothing of this process
    // remains.
    unsafe { kernel::execve(c"/proc/self/exe".as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
}

/// Takes the standard input as a file of its own, closed for child processes, and leaves `/dev/null` in its place.
pub(crate) fn take_stdin() -> Option<Descriptor> {
    // SAFETY: numbers of descriptors; nobody else uses standard input, because `main` does not run.
    let number = unsafe { libc::fcntl(libc::STDIN_FILENO, libc::F_DUPFD_CLOEXEC, 3) };
    if number < 0 {
        return None;
    }
    let null = Descriptor::open(None, c"/dev/null", libc::O_RDWR).ok()?;
    // SAFETY: as above.
    unsafe { libc::dup2(null.0, libc::STDIN_FILENO) };
    Some(Descriptor(number))
}

/// Makes this process one that nobody notices: a session of its own, no open files but standard input and `keep`, `/dev/null`
/// for output, and the least of all priorities. It is ended after `seconds`.
pub(crate) fn go_into_background(seconds: libc::c_uint, keep: &Descriptor) {
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    /// `IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT`.
    const IDLE: libc::c_long = 3 << 13;
    let null = Descriptor::open(None, c"/dev/null", libc::O_RDWR);
    // SAFETY: attributes and descriptors of this process, in which only the runtime has run so far. What fails is left as it
    // is: all of this is courtesy.
    unsafe {
        libc::setsid();
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        raw_syscall(libc::SYS_ioprio_set, [IOPRIO_WHO_PROCESS, 0, IDLE, 0, 0, 0]);
        libc::alarm(seconds);
        if let Ok(null) = &null {
            libc::dup2(null.0, libc::STDOUT_FILENO);
            libc::dup2(null.0, libc::STDERR_FILENO);
        }
        drop(null);
        let keep = keep.0;
        for range in [(3, keep - 1), (keep + 1, c_int::MAX)].into_iter().filter(|(first, last)| first <= last) {
            if raw_syscall(libc::SYS_close_range, [range.0.into(), range.1.into(), 0, 0, 0, 0]) != 0 {
                // Before Linux 5.9.
                for number in range.0..=range.1.min(1023) {
                    libc::close(number);
                }
            }
        }
        libc::prctl(libc::PR_SET_NAME, c"fastboot-freeze".as_ptr());
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// The user whose rights the process was started with.
pub(crate) fn effective_user() -> libc::uid_t {
    // SAFETY: `getauxval` only reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_EUID) as libc::uid_t }
}

/// Maps part of a file, privately: at `home` if nothing is there, else wherever the kernel likes. Says where.
///
/// # Errors
/// The `errno`, such as `ENOMEM`.
pub(crate) fn map_private(
    file: &Descriptor,
    offset: u64,
    length: usize,
    home: usize,
    writable: bool,
) -> Result<usize, i32> {
    let access = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
    // mmap(2), without MAP_FIXED: "If another mapping already exists there, the kernel picks a new address". One call
    // where MAP_FIXED_NOREPLACE would need a second one then.
    // SAFETY: a new mapping that replaces none.
    let got = unsafe {
        kernel::mmap(
            ptr::without_provenance_mut(home),
            length,
            access,
            libc::MAP_PRIVATE,
            file.0,
            offset as libc::off_t,
        )
    };
    if got == libc::MAP_FAILED { Err(errno()) } else { Ok(got.expose_provenance()) }
}

/// Maps `length` bytes of a file, shared with other processes.
pub(crate) fn map_shared(file: &std::fs::File, length: usize) -> Option<*mut u8> {
    use std::os::fd::AsRawFd;
    // SAFETY: a new mapping wherever the kernel likes; it replaces none.
    let got = unsafe {
        kernel::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    (got != libc::MAP_FAILED).then_some(got.cast())
}

/// Fresh memory, zero, wherever the kernel likes, that costs nothing until it is touched.
///
/// # Errors
/// The `errno`.
pub(crate) fn map_anonymous(length: usize) -> Result<*mut u8, i32> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping that replaces none.
    let got = unsafe { kernel::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if got == libc::MAP_FAILED { Err(errno()) } else { Ok(got.cast()) }
}

/// Maps a whole file, read-only, for the rest of the process. The file must not change.
pub(crate) fn map_file(file: &std::fs::File) -> Option<&'static [u8]> {
    use std::os::fd::AsRawFd;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    // SAFETY: a new mapping wherever the kernel likes; it replaces none.
    let got = unsafe { kernel::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    if got == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: `length` bytes were mapped just now and are never unmapped. The file is the tool's, in a folder of its
    // own, finished before this process was started.
    Some(unsafe { core::slice::from_raw_parts(got.cast::<u8>(), length) })
}

/// The current folder, written to the beginning of `to`: its length in bytes.
pub(crate) fn current_folder(to: &mut [u8]) -> Option<usize> {
    // SAFETY: `to` is writable, and its length is passed with it.
    let got = unsafe { libc::getcwd(to.as_mut_ptr().cast(), to.len()) };
    (!got.is_null()).then(|| to.iter().position(|byte| *byte == 0)).flatten()
}

/// The path of what a descriptor refers to, written to the beginning of `to`: its length in bytes.
pub(crate) fn opened_path(descriptor: c_int, to: &mut [u8]) -> Option<usize> {
    use std::io::Write;
    let mut link = [0u8; 32];
    // Short enough for the array, and zeros behind it.
    write!(&mut link[..], "/proc/self/fd/{descriptor}").ok()?;
    // SAFETY: `link` ends with a zero; `to` is writable, and its length is passed with it.
    let length = unsafe { libc::readlink(link.as_ptr().cast(), to.as_mut_ptr().cast(), to.len()) };
    usize::try_from(length).ok()
}

/// Gives the memory of pages back; when they are touched again they are zero, or what the file has there.
pub(crate) fn forget_pages(address: usize, length: usize) {
    // SAFETY: callers pass pages of a slot that was just freed, which nobody reads before writing; or pages of a private
    // mapping that are still those of the file, so that nothing is lost; or memory of a process that is about to end, which
    // nobody needs any more.
    unsafe { kernel::madvise(ptr::with_exposed_provenance_mut(address), length, libc::MADV_DONTNEED) };
}

/// Advises the kernel that mapped pages will be accessed at random. What matters is that it keeps them in a mapping apart
/// from pages of other advice; that it refuses is not an error.
pub(crate) fn expect_random_access(address: usize, length: usize) {
    // SAFETY: changes neither contents nor permissions.
    unsafe { kernel::madvise(ptr::with_exposed_provenance_mut(address), length, libc::MADV_RANDOM) };
}

/// Size in bytes of a large page, the smaller kind.
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// Advises the kernel that memory will be used from end to end, so that it comes in large pages, with fewer page faults.
/// That it refuses is not an error.
pub(crate) fn expect_dense_use(range: Range<usize>) {
    // SAFETY: changes neither contents nor permissions.
    unsafe { kernel::madvise(ptr::without_provenance_mut(range.start), range.len(), libc::MADV_HUGEPAGE) };
}

/// Has a function called when the program returns from `main` or calls `exit`, after all that register later.
pub(crate) fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function is of this program, which is not unloaded before it exits.
    unsafe { libc::atexit(function) };
}

/// The executable's writable segments, where they are mapped: what holds its statics. Without what the loader made
/// read-only again, and without the one at `own`, which is the `fastboot` section's.
#[inline]
pub(crate) fn writable_segments(own: Option<usize>) -> impl Iterator<Item = Range<usize>> {
    let (headers, base) = program_headers().unwrap_or((&[], 0));
    let range = move |header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        start..start.wrapping_add(header.p_memsz as usize)
    };
    let relro = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO).map(range).unwrap_or(0..0);
    headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W != 0)
        .map(range)
        .filter(move |segment| {
            Some(segment.start) != own && !fastboot_format::image::HOME_WINDOW.contains(&(segment.start as u64))
        })
        .map(move |segment| {
            // The loader protects whole pages.
            let protected = relro.start..relro.end & !(fastboot_format::image::PAGE - 1);
            if protected.contains(&segment.start) { protected.end.min(segment.end)..segment.end } else { segment }
        })
        .filter(|segment| !segment.is_empty())
}

/// Turns address randomisation on or off for this process's next `execve`; `false` when it is so already or cannot be
/// changed.
pub(crate) fn set_randomization(on: bool) -> bool {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: `personality` changes how later mappings are placed, nothing that is there.
    unsafe {
        let now = kernel::personality(ASK);
        let wanted = if on { now & !libc::ADDR_NO_RANDOMIZE } else { now | libc::ADDR_NO_RANDOMIZE };
        now != -1
            && now != wanted
            && kernel::personality(wanted as libc::c_ulong) != -1
            && kernel::personality(ASK) == wanted
    }
}

/// Has the kernel kill this process when its parent dies: a freeze run nobody waits for is of no use.
pub(crate) fn die_with_parent() {
    // SAFETY: sets an attribute of this process.
    unsafe { kernel::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
}

/// Has the kernel put memory behind writable addresses, as if they had been written to; `false` if it does not.
pub(crate) fn make_ready(address: usize, length: usize) -> bool {
    // Since Linux 5.14; the C library need not know of it.
    const MADV_POPULATE_WRITE: c_int = 23;
    // SAFETY: changes neither contents nor permissions.
    unsafe { kernel::madvise(ptr::without_provenance_mut(address), length, MADV_POPULATE_WRITE) == 0 }
}

/// Puts the pages of these bytes into a pipe, without copying them; how many bytes it took. They must not change before
/// somebody has read them. Where it is no pipe, nothing happens.
pub(crate) fn give_pages(pipe: &std::fs::File, bytes: &[u8]) -> usize {
    use std::os::fd::AsRawFd;
    let mut given = 0;
    while given < bytes.len() {
        let rest = &bytes[given..];
        let part = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
        let arguments = [c_long::from(pipe.as_raw_fd()), (&raw const part).addr() as c_long, 1, 0, 0, 0];
        // SAFETY: the kernel reads the bytes, which the caller has borrowed, and keeps their pages as long as it needs them.
        let result = unsafe { kernel::raw_syscall(libc::SYS_vmsplice, arguments) };
        if result <= 0 {
            break;
        }
        given += result as usize;
    }
    given
}
