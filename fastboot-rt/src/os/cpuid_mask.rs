//! CPUID mask: a freeze run that sees fewer processor features than there are, so that its image is good for older processors.
//!
//! Linux can have the instruction `cpuid` fault on processors that know how (arch_prctl(2), `ARCH_SET_CPUID`). The fault is
//! a SIGSEGV, whose handler executes the instruction in the program's place and leaves features out of the answer. On other
//! processors each `cpuid` of the executable, which the tool has found, becomes a `ud2`, which is as long and faults
//! everywhere, with SIGILL. What shared libraries ask is not seen then.

use crate::os::cpu::{self, is_there};
use crate::os::{headers, kernel, memory};
use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use fastboot_format::features::{Mask, level, masked, unknown};
use fastboot_format::image::{Answer, PAGE};
use std::sync::OnceLock;

/// `ARCH_SET_CPUID` of `<asm/prctl.h>`.
const ARCH_SET_CPUID: libc::c_long = 0x1012;
/// The instruction.
const CPUID: [u8; 2] = [0x0f, 0xa2];
/// One that is none.
const UD2: [u8; 2] = [0x0f, 0x0b];
/// `SI_KERNEL`: not a missing page, but an instruction that may not be executed.
const SI_KERNEL: c_int = 0x80;

/// The features that may be seen, lower half and upper half.
static VISIBLE: [AtomicU64; 2] = [const { AtomicU64::new(u64::MAX) }; 2];
/// Where `cpuid` became `ud2`, ascending.
static SITES: OnceLock<Vec<usize>> = OnceLock::new();

/// An answer with bits that nobody knows, and the address of the instruction. Without bits it is not there yet.
struct Noted {
    site: AtomicUsize,
    question: [AtomicU32; 2],
    bits: [AtomicU32; 4],
}

/// The answers that were noted, and how many there are. Questions beyond these are like others that were asked before.
static NOTED: [Noted; 128] = [const {
    Noted {
        site: AtomicUsize::new(0),
        question: [const { AtomicU32::new(0) }; 2],
        bits: [const { AtomicU32::new(0) }; 4],
    }
}; 128];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Notes that the instruction at `site` was answered with bits that nobody knows. For a signal handler.
fn note(site: usize, Answer { leaf, subleaf, bits }: Answer) {
    let question = [leaf, subleaf];
    let is_it = |noted: &&Noted| {
        noted.site.load(Ordering::Relaxed) == site
            && noted.question.each_ref().map(|part| part.load(Ordering::Relaxed)) == question
    };
    if NOTED.iter().take(COUNT.load(Ordering::Relaxed)).any(|noted| is_it(&noted)) {
        return;
    }
    let Some(noted) = NOTED.get(COUNT.fetch_add(1, Ordering::Relaxed)) else { return };
    noted.site.store(site, Ordering::Relaxed);
    for (to, from) in noted.question.iter().chain(&noted.bits).zip(question.into_iter().chain(bits)) {
        to.store(from, Ordering::Relaxed);
    }
}

/// What was noted: the addresses of the instructions, and the bits of their answers that nobody knows.
pub(crate) fn noted() -> impl Iterator<Item = (usize, Answer)> {
    NOTED.iter().take(COUNT.load(Ordering::Relaxed)).map(|noted| {
        let [leaf, subleaf] = noted.question.each_ref().map(|part| part.load(Ordering::Relaxed));
        let bits = noted.bits.each_ref().map(|part| part.load(Ordering::Relaxed));
        (noted.site.load(Ordering::Relaxed), Answer { leaf, subleaf, bits })
    })
}

fn visible() -> Mask {
    let [lower, upper] = VISIBLE.each_ref().map(|half| Mask::from(half.load(Ordering::Relaxed)));
    lower | upper << 64
}

/// The features of the processor that can be seen.
pub(crate) fn visible_features() -> Mask {
    cpu::features() & visible()
}

/// From now on, this thread and those that it starts see no other features than these, and what every processor has.
/// `sites`: where the executable has the instruction, as in the file, for processors on which it cannot fault.
///
/// # Errors
/// The `errno`; `ENODEV` where the processor cannot do that, and there are no sites.
pub(crate) fn show_only(features: Mask, sites: &[u64]) -> Result<(), i32> {
    let features = features | level("x86-64-v1").unwrap_or(0);
    VISIBLE[0].store(features as u64, Ordering::Relaxed);
    VISIBLE[1].store((features >> 64) as u64, Ordering::Relaxed);
    let before = handle(libc::SIGSEGV, on_fault)?;
    if set_faulting(true) {
        return Ok(());
    }
    let errno = kernel::errno();
    // SAFETY: what was the handler before may be so again.
    unsafe { libc::sigaction(libc::SIGSEGV, &before, ptr::null_mut()) };
    if sites.is_empty() {
        return Err(errno);
    }
    handle(libc::SIGILL, on_illegal)?;
    replace(sites)
}

type Handler = extern "C" fn(c_int, *const libc::siginfo_t, *mut c_void);

/// Sets a handler; returns what there was before.
fn handle(signal: c_int, handler: Handler) -> Result<libc::sigaction, i32> {
    // SAFETY: all zero is a valid `sigaction`, with no flags and no signals blocked.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let mut before = action;
    action.sa_sigaction = handler as *const () as usize;
    // On a stack of its own, if there is one: unused parts of objects keep what is left on this one.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `action` is complete, and its handler does nothing but system calls and what `Fault` is given.
    match unsafe { libc::sigaction(signal, &action, &mut before) } {
        0 => Ok(before),
        _ => Err(kernel::errno()),
    }
}

/// Gives this thread a stack for signal handlers.
pub(crate) fn handle_on_another_stack() {
    const LENGTH: usize = 64 << 10;
    if let Ok(stack) = memory::map_anonymous(LENGTH) {
        let stack = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: LENGTH };
        // SAFETY: the memory was mapped for this alone, and stays mapped.
        unsafe { libc::sigaltstack(&stack, ptr::null_mut()) };
    }
}

/// Puts a `ud2` in place of each of these `cpuid`.
fn replace(sites: &[u64]) -> Result<(), i32> {
    let bias = headers::program_headers().map_or(0, |(_, bias)| bias);
    let sites: Vec<usize> = sites.iter().map(|site| (*site as usize).wrapping_add(bias)).collect();
    for site in SITES.get_or_init(|| sites) {
        let page = site & !(PAGE - 1);
        let protect = |protection| {
            // SAFETY: pages of the executable's code, of which one more permission is given, and taken away again: it is
            // executable all the while.
            match unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(page), 2 * PAGE, protection) } {
                0 => Ok(()),
                _ => Err(kernel::errno()),
            }
        };
        let instruction = ptr::with_exposed_provenance_mut::<[u8; 2]>(*site);
        // SAFETY: the tool found an instruction of two bytes there in a segment of code of this executable's file, which
        // the kernel or the loader mapped, readable, at the bias that the program headers say.
        if unsafe { instruction.read_unaligned() } != CPUID {
            return Err(libc::EINVAL);
        }
        protect(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
        // SAFETY: just made writable; there is no other thread that could execute it, and the processor notices what it
        // writes itself.
        unsafe { instruction.write_unaligned(UD2) };
        protect(libc::PROT_READ | libc::PROT_EXEC)?;
    }
    Ok(())
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
    set_faulting(false);
    answer(registers);
    set_faulting(true);
}

/// The handler of SIGILL.
extern "C" fn on_illegal(_: c_int, _: *const libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes it, valid until the handler returns (sigaction(2)).
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize] as usize;
    if SITES.get().is_some_and(|sites| sites.binary_search(&at).is_ok()) {
        answer(registers);
    } else {
        // SAFETY: the default action needs no handler. The instruction faults again and ends the process.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
    }
}

/// Does for these registers what the instruction does, without what may not be seen, and goes on behind it.
fn answer(registers: &mut [libc::greg_t; 23]) {
    let register = |index: c_int| registers[index as usize] as u32;
    let (leaf, subleaf) = (register(libc::REG_RAX), register(libc::REG_RCX));
    let real = real_cpuid(leaf, subleaf);
    let nameless = Answer { leaf, subleaf, bits: unknown(leaf, subleaf, real) };
    if !nameless.is_empty() && is_there(leaf, [real_cpuid(0, 0)[0], real_cpuid(0x8000_0000, 0)[0]]) {
        note(registers[libc::REG_RIP as usize] as usize, nameless);
    }
    let shown = masked(leaf, subleaf, real, visible());
    for (index, value) in [libc::REG_RAX, libc::REG_RBX, libc::REG_RCX, libc::REG_RDX].into_iter().zip(shown) {
        registers[index as usize] = i64::from(value);
    }
    registers[libc::REG_RIP as usize] += CPUID.len() as i64;
}

/// The instruction itself, with a prefix that changes nothing but its length: the tool leaves it as it is.
fn real_cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let (eax, ebx, ecx, edx);
    // SAFETY: `cpuid` is there on every x86-64 processor, and changes these four registers, of which `rbx`, which the
    // compiler does not give away, is put back.
    unsafe {
        asm!(
            "mov {kept:r}, rbx",
            ".byte 0x48, 0x0f, 0xa2",
            "xchg {kept:r}, rbx",
            kept = out(reg) ebx,
            inlateout("eax") leaf => eax,
            inlateout("ecx") subleaf => ecx,
            out("edx") edx,
            options(nostack, preserves_flags),
        );
    }
    [eax, ebx, ecx, edx]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_noted_once() {
        let answer = Answer { leaf: 7, subleaf: 2, bits: [0, 0, 0, 5] };
        for _ in 0..3 {
            note(0x1000, answer);
            note(0x2000, Answer { subleaf: 1, ..answer });
        }
        let mut found: Vec<_> = noted().collect();
        found.sort();
        assert_eq!(found, [(0x1000, answer), (0x2000, Answer { subleaf: 1, ..answer })]);
    }

    #[test]
    fn the_instruction_with_its_prefix_says_the_same() {
        let found = cpu::cpuid(7, 0);
        assert_eq!(real_cpuid(7, 0), [found.eax, found.ebx, found.ecx, found.edx]);
    }
}
