//! Roots: the values declared with [`frozen!`](crate::frozen), and the registry in which the linker collects them.

pub(crate) mod checked;
pub(crate) mod evaluate;
pub(crate) mod frozen;
pub(crate) mod record;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod registry;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use registry::{all, anchor, warm_ups};
