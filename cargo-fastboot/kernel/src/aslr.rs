//! ASLR: starts a program with its addresses random or not.
//!
//! A freeze run needs it off (the third one, on). A run that was started the other way would have to execute itself again,
//! which takes time.

/// Runs `body`, in which this thread starts programs, with their addresses random or not; `None` if it does not matter.
pub fn with_randomization<R>(on: Option<bool>, body: impl FnOnce() -> R) -> R {
    // Threads have a personality of their own.
    let changed = on.filter(|on| set_randomization(*on));
    let result = body();
    if let Some(on) = changed {
        set_randomization(!on);
    }
    result
}

/// Turns address randomisation on or off for the programs that this thread starts; `false` when it is so already or cannot
/// be changed.
fn set_randomization(on: bool) -> bool {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: `personality` changes how later mappings are placed, nothing that is there.
    unsafe {
        let now = libc::personality(ASK);
        let wanted = if on { now & !libc::ADDR_NO_RANDOMIZE } else { now | libc::ADDR_NO_RANDOMIZE };
        now != -1
            && now != wanted
            && libc::personality(wanted as libc::c_ulong) != -1
            && libc::personality(ASK) == wanted
    }
}
