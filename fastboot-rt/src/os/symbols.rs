//! Symbols: those that may not be there.

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
