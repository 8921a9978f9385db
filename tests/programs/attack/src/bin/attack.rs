//! `attack WHAT PROGRAM ARGUMENTS`: executes the program without something.
//!
//! - `no-mremap`, `no-noreplace`: a seccomp filter refuses `mremap` to, or `mmap` at, an address of the caller's choice;
//! - `address-space=BYTES`, `data=BYTES`: as `ulimit -v` and `ulimit -d`;
//! - `chroot=FOLDER`: with this folder as the root;
//! - `nobody`: as user 65534.

use std::os::unix::fs::chroot;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let what = arguments.next().expect("what to take away").into_string().expect("UTF-8");
    let program = arguments.next().expect("a program");
    match what.split_once('=').unwrap_or((&what, "")) {
        ("no-mremap", _) => refuse(libc::SYS_mremap, libc::MREMAP_FIXED),
        ("no-noreplace", _) => refuse(libc::SYS_mmap, libc::MAP_FIXED_NOREPLACE),
        ("address-space", bytes) => limit(libc::RLIMIT_AS, bytes),
        ("data", bytes) => limit(libc::RLIMIT_DATA, bytes),
        ("chroot", folder) => {
            chroot(folder).expect("chroot");
            std::env::set_current_dir("/").expect("chdir");
        }
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

/// Has the kernel answer a system call with EPERM, if its fourth argument has a bit of `flags`.
fn refuse(call: libc::c_long, flags: i32) {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    // `struct seccomp_data`: the call's number at offset 0, arguments of eight bytes from offset 16 on.
    let mut filter = [
        statement(BPF_LD | BPF_W | BPF_ABS, 0),
        jump(BPF_JMP | BPF_JEQ | BPF_K, call as u32, 0, 3),
        statement(BPF_LD | BPF_W | BPF_ABS, 16 + 3 * 8),
        jump(BPF_JMP | BPF_JSET | BPF_K, flags as u32, 0, 1),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` describes `filter`, which is alive; both calls only restrict this process.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(result, 0, "seccomp");
}
