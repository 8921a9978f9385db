//! What `--check` checks.

use super::results::Results;
use super::rows::{FASTBOOT_DEFAULT, FASTBOOT_PIE, FASTBOOT_STATIC, FASTBOOT_TRAINED, IDLE};
use anyhow::{Result, bail};

/// Something that must not be larger than it is.
struct Target {
    what: &'static str,
    most: f64,
    unit: &'static str,
    measured: fn(&Results) -> Option<f64>,
}

const NOTHING: &str = "nothing touched";
const LOOK_UPS: &str = "100 look-ups";

const TARGETS: &[Target] = &[
    Target {
        what: "W1 `--static`, nothing touched / an empty program",
        most: 0.60,
        unit: "×",
        measured: |results| Some(results.row("strings", FASTBOOT_STATIC, NOTHING)?.ratio.median),
    },
    Target {
        what: "W1 `--static`, 100 random look-ups / an empty program",
        most: 0.85,
        unit: "×",
        measured: |results| Some(results.row("strings", FASTBOOT_STATIC, LOOK_UPS)?.ratio.median),
    },
    Target {
        what: "W1 `--static --train`, the 100 look-ups it was trained with / an empty program",
        most: 0.65,
        unit: "×",
        measured: |results| Some(results.row("strings", FASTBOOT_TRAINED, LOOK_UPS)?.ratio.median),
    },
    Target {
        what: "W1 fastboot / rkyv, mapped, unchecked, whole process",
        most: 1.00,
        unit: "×",
        measured: |results| Some(results.tables.iter().find_map(|table| table.against_rkyv)?.median),
    },
    Target {
        what: "W1 thaw, section, non-PIE",
        most: 5.0,
        unit: "µs",
        measured: |results| Some(results.row("strings", FASTBOOT_DEFAULT, NOTHING)?.thaw?.median),
    },
    Target {
        what: "W1 thaw, section, PIE",
        most: 25.0,
        unit: "µs",
        measured: |results| Some(results.row("strings", FASTBOOT_PIE, NOTHING)?.thaw?.median),
    },
    Target {
        what: "thaw of the largest image, section, non-PIE",
        most: 5.0,
        unit: "µs",
        measured: |results| Some(results.scaling.as_ref()?.thaw.first()?.points.last()?.1.median),
    },
    Target {
        what: "growth of the thaw with the image, section, non-PIE",
        most: 1.0,
        unit: "ns/MB",
        measured: |results| Some(results.scaling.as_ref()?.growth.first()?.per_megabyte.median),
    },
    Target {
        what: "W1 an image that is refused, the slowest reason",
        most: 50.0,
        unit: "µs",
        measured: |results| worst(results.refused.iter().map(|refused| refused.time.median)),
    },
    Target {
        what: "W1 page faults above an empty program's, 100 random look-ups",
        most: 50.0,
        unit: "faults",
        measured: |results| {
            let own = results.row("strings", FASTBOOT_DEFAULT, LOOK_UPS)?.faults;
            Some(own - results.row("strings", super::rows::EMPTY, LOOK_UPS)?.faults)
        },
    },
    Target {
        what: "W1 private memory above an idle program's, 100 look-ups",
        most: 1.0,
        unit: "MB",
        measured: |results| {
            let private = |program| Some(results.row("strings", program, LOOK_UPS)?.memory?.private as f64);
            Some((private(FASTBOOT_DEFAULT)? - private(IDLE)?) / 1e6)
        },
    },
    Target {
        what: "full scan of W1 / the same over built values, after first touch",
        most: 1.05,
        unit: "×",
        measured: |results| Some(results.scan.as_ref()?.ratio.median),
    },
    Target {
        what: "instructions with `FastbootAlloc` / with the system's allocator",
        most: 1.01,
        unit: "×",
        measured: |results| worst(results.allocator.iter().map(|allocator| allocator.ratio)),
    },
    Target {
        what: "a build after a change of `main` with the image taken over, longer than `cargo build`, a small program",
        most: 1.5,
        unit: "s",
        measured: |results| Some(results.rebuild.first()?.longer.median / 1e6),
    },
];

/// What is wanted and not reached: shown, and not required.
const GOALS: &[Target] = &[Target {
    what: "freeze / 3.5 evaluations and 1 s per GB of image, the slowest program (a goal)",
    most: 1.00,
    unit: "×",
    measured: |results| worst(results.freeze.iter().map(|freeze| freeze.used.median)),
}];

/// The largest, if there is any.
fn worst(measured: impl Iterator<Item = f64>) -> Option<f64> {
    measured.max_by(f64::total_cmp)
}

/// A table of the targets and what was measured.
pub(crate) fn table(results: &Results) -> String {
    let mut lines = "| what | target | measured | |\n|---|--:|--:|---|\n".to_owned();
    for target in TARGETS.iter().chain(GOALS) {
        let measured = (target.measured)(results);
        let number =
            measured.map_or_else(|| "not measured".to_owned(), |number| format!("{number:.2} {}", target.unit));
        let verdict = if measured.is_some_and(|number| number <= target.most) { "✓" } else { "✗" };
        lines += &format!("| {} | ≤ {:.2} {} | {number} | {verdict} |\n", target.what, target.most, target.unit);
    }
    lines
}

/// Fails with the targets that were missed.
pub(crate) fn check(results: &Results) -> Result<()> {
    let missed: Vec<String> = TARGETS
        .iter()
        .filter_map(|target| match (target.measured)(results) {
            None => Some(format!("{}: not measured", target.what)),
            Some(number) if number <= target.most => None,
            Some(number) => {
                Some(format!("{}: {number:.2} {}, at most {:.2} wanted", target.what, target.unit, target.most))
            }
        })
        .collect();
    if missed.is_empty() {
        return Ok(());
    }
    bail!("{} of {} targets missed\n  {}", missed.len(), TARGETS.len(), missed.join("\n  "))
}
