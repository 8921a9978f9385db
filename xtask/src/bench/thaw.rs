//! How long the thaw takes, by its own account.

use super::rounds::Case;
use super::statistics::Spread;
use crate::usage::measure;
use anyhow::Result;

/// How often a program is asked.
const RUNS: usize = 51;

/// What `FASTBOOT_LOG` says, in microseconds; nothing if the program does not thaw.
pub(crate) fn thaw(case: &Case) -> Result<Option<Spread>> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let mut command = case.made.command(&case.row.arguments());
        let line = measure(command.env("FASTBOOT_LOG", "1"))?.errors;
        times.extend(microseconds(&line));
    }
    Ok((times.len() == RUNS).then(|| Spread::of(times)))
}

/// The time in `fastboot: thawed 1 root from section, 91.4 MB at 0x550000000000, 3.1 µs`.
fn microseconds(line: &str) -> Option<f64> {
    let thawed = line.strip_prefix("fastboot: thawed ")?;
    thawed.split(" µs").next()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_the_log() {
        let line = "fastboot: thawed 1 root from section, 91.4 MB at 0x550000000000, 3.1 µs\n";
        assert_eq!(microseconds(line), Some(3.1));
        assert_eq!(microseconds("fastboot: cold start: FASTBOOT=off\n"), None);
    }
}
