//! CPUID mask: a freeze run that sees fewer processor features than there are, so that its image is good for older processors.
//!
//! Linux can have the instruction `cpuid` fault on processors that know how (arch_prctl(2), `ARCH_SET_CPUID`). The fault is
//! a SIGSEGV, whose handler executes the instruction in the program's place and leaves features out of the answer.

use crate::os::{cpu, kernel};
use core::arch::x86_64::__cpuid_count;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

/// `ARCH_SET_CPUID` of `<asm/prctl.h>`.
const ARCH_SET_CPUID: libc::c_long = 0x1012;
/// The instruction.
const CPUID: [u8; 2] = [0x0f, 0xa2];
/// `SI_KERNEL`: not a missing page, but an instruction that may not be executed.
const SI_KERNEL: c_int = 0x80;

/// The features that may be seen, as [`cpu`] numbers them.
static VISIBLE: AtomicU64 = AtomicU64::new(u64::MAX);

/// The features of the processor that can be seen.
pub(crate) fn visible_features() -> u64 {
    cpu::features() & VISIBLE.load(Ordering::Relaxed)
}

/// From now on, this thread and those that it starts see no other features than these.
///
/// # Errors
/// The `errno`; `ENODEV` where the processor cannot do that.
pub(crate) fn show_only(features: u64) -> Result<(), i32> {
    VISIBLE.store(features, Ordering::Relaxed);
    // SAFETY: all zero is a valid `sigaction`, with no flags and no signals blocked.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is complete, and its handler does nothing but system calls and what `Fault` is given.
    if unsafe { libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut()) } != 0 {
        return Err(kernel::errno());
    }
    if set_faulting(true) { Ok(()) } else { Err(kernel::errno()) }
}

/// Whether `cpuid` faults in this thread.
fn set_faulting(faulting: bool) -> bool {
    // SAFETY: changes what one instruction does in this thread.
    unsafe {
        kernel::raw_syscall(libc::SYS_arch_prctl, [ARCH_SET_CPUID, libc::c_long::from(!faulting), 0, 0, 0, 0]) == 0
    }
}

/// The handler of SIGSEGV.
extern "C" fn on_fault(_: c_int, info: *const libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes both, valid until the handler returns (sigaction(2)).
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    let registers = &mut context.uc_mcontext.gregs;
    let instruction = ptr::with_exposed_provenance::<[u8; 2]>(registers[libc::REG_RIP as usize] as usize);
    // SAFETY: the processor fetched an instruction from there, or the fault would be a missing page's; reading a byte
    // beyond it is a fault at worst, as this was.
    if info.si_code != SI_KERNEL || unsafe { instruction.read_unaligned() } != CPUID {
        // SAFETY: the default action needs no handler. The instruction faults again and ends the process.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        return;
    }
    let register = |index: c_int| registers[index as usize] as u32;
    let (leaf, subleaf) = (register(libc::REG_RAX), register(libc::REG_RCX));
    set_faulting(false);
    let found = __cpuid_count(leaf, subleaf);
    set_faulting(true);
    let found = [found.eax, found.ebx, found.ecx, found.edx];
    let shown = fastboot_format::features::masked(leaf, subleaf, found, VISIBLE.load(Ordering::Relaxed));
    for (index, value) in [libc::REG_RAX, libc::REG_RBX, libc::REG_RCX, libc::REG_RDX].into_iter().zip(shown) {
        registers[index as usize] = i64::from(value);
    }
    registers[libc::REG_RIP as usize] += CPUID.len() as i64;
}
