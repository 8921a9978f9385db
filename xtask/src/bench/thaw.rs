//! How long the runtime takes to thaw, by its own account.

use super::rounds::Case;
use super::statistics::Spread;
use crate::usage::measure;
use anyhow::Result;

/// How often a program is asked.
const RUNS: usize = 51;
/// How often two programs are, to be compared: the difference is to be told to a tenth of a microsecond.
const PAIRS: usize = 201;
const THAWED: &str = "fastboot: thawed ";

/// The time of a thaw, in microseconds; nothing if the program does not thaw.
pub(crate) fn thaw(case: &Case) -> Result<Option<Spread>> {
    times(case)
}

/// How much longer the thaw of `large` takes than that of `small`, run by run, in microseconds.
pub(crate) fn growth(small: &Case, large: &Case) -> Result<Option<Spread>> {
    let mut differences = Vec::new();
    for pair in 0..PAIRS {
        // Neither always has the other as its predecessor.
        let (first, second) = if pair % 2 == 0 { (small, large) } else { (large, small) };
        let Some((first, second)) = told(first)?.zip(told(second)?) else { continue };
        differences.push(if pair % 2 == 0 { second - first } else { first - second });
    }
    Ok((differences.len() == PAIRS).then(|| Spread::of(differences)))
}

fn times(case: &Case) -> Result<Option<Spread>> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        times.extend(told(case)?);
    }
    Ok((times.len() == RUNS).then(|| Spread::of(times)))
}

/// What `FASTBOOT_LOG` says.
fn told(case: &Case) -> Result<Option<f64>> {
    let mut command = case.made.command(&case.row.arguments());
    let line = measure(command.env("FASTBOOT_LOG", "1"))?.errors;
    Ok(microseconds(&line))
}

/// The time in `fastboot: thawed 1 root from section, 91.4 MB at 0x550000000000, 3.1 µs`.
fn microseconds(line: &str) -> Option<f64> {
    let rest = line.strip_prefix(THAWED)?;
    rest.split(" µs").next()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_the_log() {
        let line = "fastboot: thawed 1 root from section, 91.4 MB at 0x550000000000, 3.1 µs\n";
        assert_eq!(microseconds(line), Some(3.1));
        assert_eq!(microseconds("fastboot: cold start: FASTBOOT=off, 0.2 µs\n"), None);
    }
}
