//! How long a freeze takes, against one plain evaluation of the same roots.

use super::Size;
use super::programs::{Workshop, length};
use super::rounds::{Case, one};
use super::rows::{self, Program, Row};
use super::statistics::Spread;
use crate::usage::measure;
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;

/// A freeze evaluates the roots three times, and may take half an evaluation more,
const EVALUATIONS: f64 = 3.5;
/// and so many microseconds for each byte of the image: a second for each gigabyte.
const PER_BYTE: f64 = 1e6 / 1e9;

/// What is frozen.
const FROZEN: [(&str, &str); 4] = [
    ("strings", "W1, 1,000,000 strings"),
    ("map", "W2, a map of 200,000 words"),
    ("segmenter", "W3, jieba-rs"),
    ("highlighter", "W3, syntect, warmed"),
];

/// The freeze of a program. Times are in microseconds.
#[derive(Serialize)]
pub(crate) struct Freeze {
    pub(crate) name: &'static str,
    pub(crate) image_bytes: u64,
    /// The cold binary, touching its roots, without what an empty program takes.
    pub(crate) evaluation: Spread,
    /// `cargo fastboot freeze`, the whole of it.
    pub(crate) freeze: Spread,
    /// The two of the same round.
    pub(crate) ratio: Spread,
    /// What a freeze may take, by the evaluation in its round.
    pub(crate) allowance: Spread,
    /// The freeze, against what it may take.
    pub(crate) used: Spread,
}

/// Freezes each program again and again, with a plain evaluation before each time.
pub(crate) fn freeze(workshop: &mut Workshop, size: Size) -> Result<Vec<Freeze>> {
    FROZEN.iter().map(|(binary, name)| one_program(workshop, size, binary, name)).collect()
}

fn one_program(workshop: &mut Workshop, size: Size, binary: &'static str, name: &'static str) -> Result<Freeze> {
    let rounds = match size {
        Size::Quick => 3,
        Size::Full => 15,
    };
    let program = Program::Cold { binary, flags: &[] };
    let cold = Case { made: workshop.make(program, binary)?, row: Row::new(name, binary, program, 1) };
    let empty = rows::empty();
    let empty = Case { made: workshop.make(empty.program, "empty")?, row: empty };
    let snapshot = workshop.fresh().join("freeze.snap");
    let mut command = workshop.tool("freeze");
    command.arg("--binary").arg(&cold.made.binary).arg("--output").arg(&snapshot);
    eprintln!("xtask: freezing {binary}, {rounds} times");
    let (mut answers, mut times) = (HashMap::new(), Vec::new());
    // The first round brings the files into the page cache.
    for round in 0..=rounds {
        let nothing = one(&empty, &mut answers)?.wall;
        let evaluation = one(&cold, &mut answers)?.wall - nothing;
        let freeze = measure(&mut command)?.wall();
        if round > 0 {
            times.push((evaluation, freeze));
        }
    }
    let image_bytes = length(&snapshot)?;
    std::fs::remove_file(&snapshot)?;
    let spread = |what: &dyn Fn(f64, f64) -> f64| {
        Spread::of(times.iter().map(|(evaluation, freeze)| what(*evaluation, *freeze)))
    };
    let allowance = |evaluation: f64| EVALUATIONS * evaluation + PER_BYTE * image_bytes as f64;
    Ok(Freeze {
        name,
        image_bytes,
        evaluation: spread(&|evaluation, _| evaluation),
        freeze: spread(&|_, freeze| freeze),
        ratio: spread(&|evaluation, freeze| freeze / evaluation),
        allowance: spread(&|evaluation, _| allowance(evaluation)),
        used: spread(&|evaluation, freeze| freeze / allowance(evaluation)),
    })
}
