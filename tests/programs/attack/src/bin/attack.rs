//! `attack WHAT PROGRAM ARGUMENTS`: executes the program without something.
//!
//! - `no-mremap`, `no-noreplace`: a seccomp filter refuses `mremap` to, or `mmap` at, an address of the caller's choice;
//! - `deadly-mremap`: it kills for the former instead;
//! - `old-mremap`: it does not know `MREMAP_DONTUNMAP`, as kernels before 5.13; `old-mremap-no-noreplace`: neither;
//! - `no-memory`: it says of the former, and of private memory at the home address that may be written to, that there is
//!   not enough memory, as the kernel does under strict overcommit;
//! - `address-space=BYTES`, `data=BYTES`: as `ulimit -v` and `ulimit -d`;
//! - `chroot=FOLDER`: with this folder as the root;
//! - `no-proc`: with an empty folder in the place of `/proc`;
//! - `nobody`: as user 65534;
//! - `peak`: with everything, but says in the end how many bytes of memory the largest of all processes had at once.

use std::os::unix::fs::chroot;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let what = arguments.next().expect("what to take away").into_string().expect("UTF-8");
    let program = arguments.next().expect("a program");
    match what.split_once('=').unwrap_or((&what, "")) {
        ("no-mremap", _) => filter(libc::SYS_mremap, &[MOVES], REFUSED),
        ("old-mremap", _) => filter(libc::SYS_mremap, &[LEAVES], UNKNOWN),
        ("old-mremap-no-noreplace", _) => {
            filter(libc::SYS_mremap, &[LEAVES], UNKNOWN);
            filter(libc::SYS_mmap, &[NOREPLACE], REFUSED);
        }
        ("no-noreplace", _) => filter(libc::SYS_mmap, &[NOREPLACE], REFUSED),
        ("deadly-mremap", _) => filter(libc::SYS_mremap, &[MOVES], libc::SECCOMP_RET_KILL_PROCESS),
        ("no-memory", _) => {
            filter(libc::SYS_mremap, &[MOVES], NO_MEMORY);
            filter(libc::SYS_mmap, &[AT_HOME, WRITABLE], NO_MEMORY);
        }
        ("address-space", bytes) => limit(libc::RLIMIT_AS, bytes),
        ("data", bytes) => limit(libc::RLIMIT_DATA, bytes),
        ("chroot", folder) => {
            chroot(folder).expect("chroot");
            std::env::set_current_dir("/").expect("chdir");
        }
        ("no-proc", _) => hide_proc(),
        ("peak", _) => return peak(Command::new(&program).args(arguments)),
        // SAFETY: changes this process's ids; there is one thread.
        ("nobody", _) => assert_eq!(unsafe { libc::setgid(65534) | libc::setuid(65534) }, 0, "setuid"),
        other => panic!("{other:?}"),
    }
    panic!("cannot run {}: {}", program.display(), Command::new(&program).args(arguments).exec());
}

fn limit(what: libc::__rlimit_resource_t, bytes: &str) {
    let bytes = bytes.parse().expect("a number of bytes");
    // SAFETY: the structure is valid for reads.
    assert_eq!(unsafe { libc::setrlimit(what, &libc::rlimit { rlim_cur: bytes, rlim_max: bytes }) }, 0, "setrlimit");
}

/// An argument of a system call, the half of it that counts, and what it must have: one of these bits, or this value.
enum Condition {
    Bits { argument: u32, bits: i32 },
    TopHalf { argument: u32, value: u32 },
}

const MOVES: Condition = Condition::Bits { argument: 3, bits: libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP };
const LEAVES: Condition = Condition::Bits { argument: 3, bits: libc::MREMAP_DONTUNMAP };
const NOREPLACE: Condition = Condition::Bits { argument: 3, bits: libc::MAP_FIXED_NOREPLACE };
const WRITABLE: Condition = Condition::Bits { argument: 2, bits: libc::PROT_WRITE };
const AT_HOME: Condition = Condition::TopHalf { argument: 0, value: 0x5500 };

const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32;
const NO_MEMORY: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOMEM as u32;

/// Has the kernel answer a system call in this way, if its arguments meet all conditions.
fn filter(call: libc::c_long, conditions: &[Condition], answer: u32) {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // Where a test fails, all that is left is skipped but the last statement.
    let mut left = 2 * conditions.len() as u8 + 1;
    let mut unless = |code: u32, k: u32| {
        let jump = libc::sock_filter { code: code as u16, jt: 0, jf: left, k };
        left = left.saturating_sub(2);
        jump
    };
    // `struct seccomp_data`: the call's number at offset 0, arguments of eight bytes from offset 16 on.
    let mut filter = vec![statement(BPF_LD | BPF_W | BPF_ABS, 0), unless(BPF_JMP | BPF_JEQ | BPF_K, call as u32)];
    for condition in conditions {
        let (offset, jump) = match *condition {
            Condition::Bits { argument, bits } => (16 + argument * 8, unless(BPF_JMP | BPF_JSET | BPF_K, bits as u32)),
            Condition::TopHalf { argument, value } => (20 + argument * 8, unless(BPF_JMP | BPF_JEQ | BPF_K, value)),
        };
        filter.extend([statement(BPF_LD | BPF_W | BPF_ABS, offset), jump]);
    }
    filter.extend([statement(BPF_RET | BPF_K, answer), statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW)]);
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` describes `filter`, which is alive; both calls only restrict this process.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(result, 0, "seccomp");
}

/// For this process alone. Ends it with [`NOT_ALLOWED`] if the system does not let it.
fn hide_proc() {
    const NOT_ALLOWED: i32 = 77;
    let none = std::ptr::null();
    // SAFETY: a namespace of this process's own, of which nothing gets out (MS_PRIVATE), and in it another file system at
    // `/proc`. All strings are C strings.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
            && libc::mount(c"none".as_ptr(), c"/proc".as_ptr(), c"tmpfs".as_ptr(), 0, none.cast()) == 0
    };
    if !done {
        eprintln!("attack: cannot hide /proc: {}", std::io::Error::last_os_error());
        std::process::exit(NOT_ALLOWED);
    }
}

/// Runs a command to its end.
fn peak(command: &mut Command) {
    let status = command.status().expect("a program");
    // SAFETY: all zeros are a valid `rusage`, and it is writable.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), 0, "getrusage");
        usage
    };
    eprintln!("attack: peak {}", usage.ru_maxrss * 1024);
    std::process::exit(status.code().unwrap_or(1));
}
