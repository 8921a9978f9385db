//! Runs programs in turn, round by round, so that whatever else the machine does meanwhile meets all of them; and compares
//! each with the empty program of the same round.

use super::Size;
use super::programs::Made;
use super::rows::{EMPTY, Program, Row};
use super::statistics::{Spread, median};
use crate::usage::{measure, micro};
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;

/// A row that can be run.
pub(crate) struct Case {
    pub(crate) row: Row,
    pub(crate) made: Made,
}

/// One run. Times are in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// From before fork to after wait.
    pub(crate) wall: f64,
    pub(crate) faults: f64,
    /// What it told, or another run in the same round.
    pub(crate) told: Option<Told>,
}

/// What a program tells of one run. Times are in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// From before fork to the first line of `main`.
    pub(crate) start: f64,
    /// From there to the first use of the value.
    pub(crate) load: f64,
    /// How long each pass of look-ups took.
    pub(crate) passes: Vec<f64>,
    /// From the end of the last pass to after wait.
    pub(crate) exit: f64,
}

/// In one round out of so many, programs are run a second time and tell.
const TELLING: usize = 5;

/// What the runs of a case came to, by round: not every case is run in every round.
pub(crate) type Samples = Vec<Option<Sample>>;

/// How many rounds, how many seconds a slow program may take of them all, and in how many it runs at least.
fn effort(size: Size) -> (usize, f64, usize) {
    match size {
        Size::Quick => (200, 0.5, 3),
        Size::Full => (300, 6.0, 5),
    }
}

/// Runs all cases, silently, because telling takes time too. Not counted: two runs, the first of which brings the files into
/// the page cache, and `references`, which are run once for their answers.
///
/// # Errors
/// If a program fails, or its answer is not that of the others of its workload.
pub(crate) fn run(cases: &[Case], references: &[Case], size: Size) -> Result<Vec<Samples>> {
    let (rounds, seconds, least) = effort(size);
    let mut answers = HashMap::new();
    for case in references {
        one(case, &mut answers)?;
    }
    let mut strides = Vec::new();
    for case in cases {
        let wall = one(case, &mut answers)?.wall.min(silently(case)?.wall);
        let affordable = (seconds * 1e6 / wall) as usize;
        strides.push(rounds.div_ceil(affordable.clamp(least, rounds)));
    }
    let mut samples = vec![Samples::new(); cases.len()];
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut random = 1;
    for round in 0..rounds {
        // A program runs up to a tenth faster or slower behind another one: nobody always has the same predecessor.
        shuffle(&mut order, &mut random);
        for index in &order {
            let due = round % strides[*index] == 0;
            let mut sample = if due { Some(silently(&cases[*index])?) } else { None };
            if let Some(sample) = &mut sample
                && (round % TELLING == 0 || strides[*index] > 1)
            {
                sample.told = one(&cases[*index], &mut answers)?.told;
            }
            samples[*index].push(sample);
        }
    }
    Ok(samples)
}

/// Another order, the same ones in every run of the bench.
fn shuffle(order: &mut [usize], random: &mut u64) {
    for last in (1..order.len()).rev() {
        // Marsaglia's xorshift.
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        order.swap(last, (*random >> 32) as usize % (last + 1));
    }
}

/// Runs a case once, without a word.
fn silently(case: &Case) -> Result<Sample> {
    let mut arguments = case.row.arguments();
    if !matches!(case.row.program, Program::Empty(_)) {
        arguments.insert(0, "--silent".to_owned());
    }
    let usage = measure(&mut case.made.command(&arguments))?;
    Ok(Sample { wall: usage.wall(), faults: usage.faults as f64, told: None })
}

/// Runs a case once, and compares its answer.
pub(crate) fn one(case: &Case, answers: &mut HashMap<String, String>) -> Result<Sample> {
    let row = &case.row;
    let arguments = row.arguments();
    let usage = measure(&mut case.made.command(&arguments))?;
    let mut words = usage.output.split_whitespace();
    let answer = words.next().unwrap_or_default().to_owned();
    let times: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().context("a time is no number")?;
    let question = format!("{} {}", row.workload, arguments.join(" "));
    let first = answers.entry(question).or_insert_with(|| answer.clone());
    ensure!(*first == answer, "{}: the answer is `{answer}`, other programs say `{first}`", row.name);
    let between = |main: u64, last: u64| Told {
        start: micro(usage.began, main),
        load: micro(main, times.get(1).copied().unwrap_or(main)),
        passes: times.windows(2).skip(1).map(|pair| micro(pair[0], pair[1])).collect(),
        exit: micro(last, usage.ended),
    };
    let told = times.first().zip(times.last()).map(|(main, last)| between(*main, *last));
    Ok(Sample { wall: usage.wall(), faults: usage.faults as f64, told })
}

/// How the times of two cases relate, round by round.
pub(crate) fn ratio(samples: &Samples, base: &Samples, time: impl Fn(&Sample) -> f64) -> Spread {
    let pairs = samples.iter().zip(base);
    Spread::of(pairs.filter_map(|(sample, base)| Some(time(sample.as_ref()?) / time(base.as_ref()?))))
}

/// The spread of something.
pub(crate) fn spread(samples: &Samples, what: impl Fn(&Sample) -> f64) -> Spread {
    Spread::of(samples.iter().flatten().map(what))
}

/// The median of something.
pub(crate) fn middle(samples: &Samples, what: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().flatten().map(what))
}

/// The median of something that programs tell.
pub(crate) fn told(samples: &Samples, what: impl Fn(&Told) -> f64) -> f64 {
    median(samples.iter().flatten().filter_map(|sample| sample.told.as_ref()).map(what))
}

/// The samples of the empty program.
pub(crate) fn base<'a>(cases: &[Case], samples: &'a [Samples]) -> Result<&'a Samples> {
    let index = cases.iter().position(|case| case.row.name == EMPTY).context("nothing to compare with")?;
    samples.get(index).context("nothing to compare with")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_loses_nobody() {
        let (mut order, mut random) = ((0..9).collect::<Vec<_>>(), 1);
        shuffle(&mut order, &mut random);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert_eq!(order, (0..9).collect::<Vec<_>>());
    }
}
