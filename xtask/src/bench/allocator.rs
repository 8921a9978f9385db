//! What `FastbootAlloc` costs a program that is not being frozen: instructions, against the system's allocator.

use super::Size;
use super::count::instructions;
use super::programs::Workshop;
use super::rounds::{Case, one};
use super::rows::{Program, Row};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::HashMap;

/// The same program twice: to take away what it does before and after, it is counted with few and with many look-ups.
fn look_ups(size: Size) -> (usize, usize) {
    match size {
        Size::Quick => (1, 3),
        Size::Full => (2, 6),
    }
}

/// More instructions than the program has.
const MOST: u64 = 5_000_000;
/// A PIE, as those of plain cargo are: in another one calls of the C library are other instructions.
const FLAGS: &[&str] = &["--pie"];

/// A program that does little but allocate.
#[derive(Serialize)]
pub(crate) struct Allocator {
    pub(crate) name: &'static str,
    /// Instructions of a look-up.
    pub(crate) instructions: f64,
    /// Against the system's allocator.
    pub(crate) ratio: f64,
}

/// Counts the instructions of the program, with either allocator.
pub(crate) fn allocator(workshop: &mut Workshop, size: Size) -> Result<Vec<Allocator>> {
    let (few, many) = look_ups(size);
    let programs = [
        ("the system's", Program::Plain("churn-system")),
        ("`FastbootAlloc`, no image", Program::Cold { binary: "churn", flags: FLAGS }),
        ("`FastbootAlloc`, thawed", Program::Fastboot { binary: "churn", flags: FLAGS }),
    ];
    eprintln!("xtask: counting instructions of allocators");
    let (mut found, mut answers) = (Vec::<Allocator>::new(), HashMap::new());
    for (name, program) in programs {
        let made = workshop.make(program, "churn")?;
        one(&Case { made: made.clone(), row: Row::new(name, "churn", program, few) }, &mut answers)?;
        let count = |look_ups| {
            let case = Case { made: made.clone(), row: Row::new(name, "churn", program, look_ups) };
            instructions(&case, MOST).with_context(|| format!("cannot count the instructions of `{name}`"))
        };
        let instructions = count(many)?.saturating_sub(count(few)?) as f64 / (many - few) as f64;
        let system = found.first().map_or(instructions, |system| system.instructions);
        found.push(Allocator { name, instructions, ratio: instructions / system });
    }
    Ok(found)
}
