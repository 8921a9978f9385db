//! Reading all of a value: are thawed values as fast as built ones, once every page was touched?

use super::Size;
use super::programs::Workshop;
use super::rounds::{Case, Sample, Samples, middle, one, ratio, told};
use super::rows::{Program, Row};
use super::statistics::Spread;
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;

/// Times are in microseconds.
#[derive(Serialize)]
pub(crate) struct Scan {
    /// The first scan of thawed values, which touches all their pages.
    pub(crate) first: f64,
    /// Later scans of thawed and of built values.
    pub(crate) thawed: f64,
    pub(crate) built: f64,
    /// Those of the same round.
    pub(crate) ratio: Spread,
}

/// Scans every path of W1 five times, in both programs.
pub(crate) fn scan(workshop: &mut Workshop, size: Size) -> Result<Scan> {
    let mut case = |program| {
        let row =
            Row { how: &["--order", "sequential", "--passes", "5"], ..Row::new("", "strings", program, 1_000_000) };
        anyhow::Ok(Case { made: workshop.make(program, "strings")?, row })
    };
    let thawed = case(Program::Fastboot { binary: "strings", flags: &[] })?;
    let built = case(Program::Cold { binary: "strings", flags: &[] })?;
    let rounds = match size {
        Size::Quick => 5,
        Size::Full => 25,
    };
    let mut answers = HashMap::new();
    let mut samples = [Samples::new(), Samples::new()];
    for _ in 0..rounds {
        for (case, samples) in [&thawed, &built].into_iter().zip(&mut samples) {
            samples.push(Some(one(case, &mut answers)?));
        }
    }
    let [thawed, built] = samples;
    Ok(Scan {
        first: told(&thawed, |told| told.passes.first().copied().unwrap_or_default()),
        thawed: middle(&thawed, later),
        built: middle(&built, later),
        ratio: ratio(&thawed, &built, later),
    })
}

/// The fastest pass but the first: what the memory allows.
fn later(sample: &Sample) -> f64 {
    let passes = sample.told.iter().flat_map(|told| told.passes.iter().skip(1));
    passes.copied().fold(f64::INFINITY, f64::min)
}
