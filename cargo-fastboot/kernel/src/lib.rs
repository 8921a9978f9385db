//! What `cargo-fastboot` asks of the kernel and no safe library offers: the only `unsafe` of the tool. Not for use by hand.

mod aslr;
mod huge_pages;
mod verity;

pub use aslr::with_randomization;
pub use huge_pages::with_capacity;
pub use verity::enable_verity;
