//! Assembly: functions that are nothing else, without a frame of the compiler's.
//!
//! What `#[unsafe(naked)]` makes of them takes Rust 1.88.

/// Defines a function in a section of its own, by lines of assembly and operands. It is declared with
/// `unsafe extern "C" { fn NAME(..); }`, and so are its arguments and what its callers have to promise.
macro_rules! assembly_function {
    ($name:literal in $section:literal, [$($line:literal),* $(,)?] $(, $($operands:tt)*)?) => {
        core::arch::global_asm!(
            concat!(".pushsection ", $section, ", \"ax\", @progbits"),
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", @function"),
            ".p2align 4",
            concat!($name, ":"),
            $($line,)*
            concat!(".size ", $name, ", . - ", $name),
            ".popsection",
            $($($operands)*)?
        );
    };
}
pub(crate) use assembly_function;
