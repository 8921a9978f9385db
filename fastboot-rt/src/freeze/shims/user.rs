//! User: the numbers of user and group, which are others in a run that is to take place in another world.
//!
//! `cargo fastboot` links with `--wrap=getuid` and the like. The kernel is asked, so that no program imports a function for this
//! that it does not call. What the process may do is not changed.

use crate::os::kernel;
use core::ffi::c_long;
use core::sync::atomic::{AtomicBool, Ordering};

/// What most systems call their first user, and the second.
const USERS: [libc::uid_t; 2] = [1000, 1001];

/// Whether they are others.
static IS_OTHER: AtomicBool = AtomicBool::new(false);

/// From now on the process is told of another user and group, or of its own.
pub(crate) fn set_other(is_other: bool) {
    IS_OTHER.store(is_other, Ordering::Relaxed);
}

/// Asks the kernel.
fn ask(number: c_long) -> libc::uid_t {
    // SAFETY: one of the four system calls below, which take nothing, change nothing and do not fail.
    let own = unsafe { kernel::raw_syscall(number, [0; 6]) } as libc::uid_t;
    match IS_OTHER.load(Ordering::Relaxed) {
        true => USERS[usize::from(own == USERS[0])],
        false => own,
    }
}

/// Defines a function that stands in place of one of the C library's.
macro_rules! stand_in {
    ($($name:ident: $number:ident;)+) => {$(
        #[unsafe(no_mangle)]
        extern "C-unwind" fn $name() -> libc::uid_t {
            ask(libc::$number)
        }

        // In the program under fat LTO too, where only what is used survives.
        const _: () = {
            #[used]
            static KEEP: extern "C-unwind" fn() -> libc::uid_t = $name;
        };
    )+};
}

stand_in! {
    __wrap_getuid: SYS_getuid;
    __wrap_geteuid: SYS_geteuid;
    __wrap_getgid: SYS_getgid;
    __wrap_getegid: SYS_getegid;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_group_have_other_numbers() {
        let all = || [__wrap_getuid(), __wrap_geteuid(), __wrap_getgid(), __wrap_getegid()];
        // SAFETY: these take nothing, and change nothing.
        let own = unsafe { [libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()] };
        assert_eq!(all(), own);
        set_other(true);
        for (own, other) in own.into_iter().zip(all()) {
            assert!(own != other && USERS.contains(&other), "{own} {other}");
        }
        set_other(false);
        assert_eq!(all(), own);
    }
}
