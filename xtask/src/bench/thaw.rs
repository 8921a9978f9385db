//! How long the runtime takes at start, by its own account: to thaw, or to find out that there is nothing to thaw.

use super::rounds::Case;
use super::statistics::Spread;
use crate::usage::measure;
use anyhow::Result;

/// How often a program is asked.
const RUNS: usize = 51;
/// How often two programs are, to be compared: the difference is to be told to a tenth of a microsecond.
const PAIRS: usize = 201;
const THAWED: &str = "fastboot: thawed ";
const COLD: &str = "fastboot: cold start: ";

/// The time of a thaw, in microseconds; nothing if the program does not thaw.
pub(crate) fn thaw(case: &Case) -> Result<Option<Spread>> {
    times(case, THAWED, "")
}

/// The time until an image is refused, in microseconds; nothing if it is not, or not for this reason.
pub(crate) fn refusal(case: &Case, reason: &str) -> Result<Option<Spread>> {
    times(case, COLD, reason)
}

/// How much longer the thaw of `large` takes than that of `small`, run by run, in microseconds.
pub(crate) fn growth(small: &Case, large: &Case) -> Result<Option<Spread>> {
    let mut differences = Vec::new();
    for pair in 0..PAIRS {
        // Neither always has the other as its predecessor.
        let (first, second) = if pair % 2 == 0 { (small, large) } else { (large, small) };
        let Some((first, second)) = told(first, THAWED, "")?.zip(told(second, THAWED, "")?) else { continue };
        differences.push(if pair % 2 == 0 { second - first } else { first - second });
    }
    Ok((differences.len() == PAIRS).then(|| Spread::of(differences)))
}

fn times(case: &Case, outcome: &str, reason: &str) -> Result<Option<Spread>> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        times.extend(told(case, outcome, reason)?);
    }
    Ok((times.len() == RUNS).then(|| Spread::of(times)))
}

/// What `FASTBOOT_LOG` says.
fn told(case: &Case, outcome: &str, reason: &str) -> Result<Option<f64>> {
    let mut command = case.made.command(&case.row.arguments());
    let line = measure(command.env("FASTBOOT_LOG", "1"))?.errors;
    Ok(microseconds(&line, outcome).filter(|_| line.contains(reason)))
}

/// The time in `fastboot: thawed 1 root from section, 91.4 MB at 0x550000000000, 3.1 µs`, if it begins with `outcome`.
fn microseconds(line: &str, outcome: &str) -> Option<f64> {
    let rest = line.strip_prefix(outcome)?;
    rest.split(" µs").next()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_the_log() {
        let line = "fastboot: thawed 1 root from section, 91.4 MB at 0x550000000000, 3.1 µs\n";
        assert_eq!(microseconds(line, THAWED), Some(3.1));
        assert_eq!(microseconds(line, COLD), None);
        let line = "fastboot: cold start: FASTBOOT=off, 0.2 µs; freezing in the background to app.snap\n";
        assert_eq!(microseconds(line, COLD), Some(0.2));
        assert_eq!(microseconds(line, THAWED), None);
    }
}
