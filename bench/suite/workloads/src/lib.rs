//! What all measured programs have in common: the data, the look-ups, and a line of output with the answer and the times.
//!
//! A program reads its data from the folder that `BENCH_DATA` names, while it runs or, if it is frozen, while it is built.

pub mod churn;
mod data;
pub mod map;
mod run;
pub mod strings;
pub mod words;

pub use data::{data, read, write};
pub use run::{Answer, Order, Run};

/// The list of paths of `mini-fzf`, of which only what makes them up is used here.
#[path = "../../../mini-fzf/src/paths.rs"]
#[allow(dead_code)]
mod paths;
