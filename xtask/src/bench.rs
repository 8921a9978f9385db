//! Start-up times: an empty program, and mini-fzf with its list made at start and with its list inside.
//!
//! The variants are run in turn, round by round, so that whatever else the machine does meanwhile meets all of them.

use crate::command::{cargo, run, target};
use crate::usage::{Usage, measure};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How often each variant is run.
const ROUNDS: usize = 300;
/// How often each variant is run that takes a hundred times as long.
const SLOW_ROUNDS: usize = 10;
/// How many entries are looked up.
const LOOK_UPS: usize = 100;

/// A binary with arguments.
struct Variant {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    rounds: usize,
}

/// Builds the programs, runs them, and prints a table.
pub(crate) fn bench() -> Result<()> {
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let variants = variants(&folder)?;
    let costs = measure_in_turn(&variants)?;
    print(&variants, &costs);
    Ok(())
}

/// Builds everything and copies it out of cargo's way.
fn variants(folder: &Path) -> Result<Vec<Variant>> {
    let binary = |package: &str, name: &str, build: &mut Command| {
        run(build.args(["--release", "--locked", "--package", package]))?;
        let (from, to) = (target().join("release").join(package), folder.join(name));
        // Whole and at once, as the tool writes it: the page cache then keeps the image in large folios.
        let bytes = std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let _ = std::fs::remove_file(&to);
        std::fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
        std::fs::set_permissions(&to, std::fs::metadata(&from)?.permissions())?;
        anyhow::Ok(to)
    };
    let minimal = binary("minimal", "minimal", &mut cargo("build"))?;
    let cold = binary("mini-fzf", "mini-fzf-cold", &mut cargo("build"))?;
    let nothing = vec!["--nothing".to_owned()];
    // A step that is prime to the number of entries: all over the list, the same ones every time.
    let look_ups: Vec<_> = (0..LOOK_UPS).map(|step| (step * 618_033 % 1_000_000).to_string()).collect();
    let look_ups = [vec!["--get".to_owned()], look_ups].concat();

    let variant = |name: &str, binary: &Path, arguments: &[String], rounds| Variant {
        name: name.to_owned(),
        binary: binary.to_owned(),
        arguments: arguments.to_vec(),
        rounds,
    };
    let mut variants = vec![
        variant("an empty program", &minimal, &[], ROUNDS),
        variant("cold, nothing touched", &cold, &nothing, ROUNDS),
        variant(&format!("cold, {LOOK_UPS} look-ups"), &cold, &look_ups, SLOW_ROUNDS),
    ];
    for (kind, file, flag) in [
        ("embedded", "mini-fzf", None),
        ("embedded `--static`", "mini-fzf-static", Some("--static")),
        ("embedded `--pie`", "mini-fzf-pie", Some("--pie")),
    ] {
        let embedded = binary("mini-fzf", file, cargo("fastboot").arg("build").args(flag))?;
        variants.push(variant(&format!("{kind}, nothing touched"), &embedded, &nothing, ROUNDS));
        variants.push(variant(&format!("{kind}, {LOOK_UPS} look-ups"), &embedded, &look_ups, ROUNDS));
    }
    Ok(variants)
}

/// The costs of each variant's runs. Not counted: a first run, which brings the file into the page cache.
fn measure_in_turn(variants: &[Variant]) -> Result<Vec<Vec<Usage>>> {
    let command = |variant: &Variant| {
        let mut command = Command::new(&variant.binary);
        command.args(&variant.arguments).env_remove("FASTBOOT").env_remove("FASTBOOT_LOG");
        command
    };
    for variant in variants {
        measure(&mut command(variant))?;
    }
    let mut costs: Vec<_> = variants.iter().map(|variant| Vec::with_capacity(variant.rounds)).collect();
    for round in 0..ROUNDS {
        for (variant, costs) in variants.iter().zip(&mut costs) {
            if round < variant.rounds {
                costs.push(measure(&mut command(variant))?);
            }
        }
    }
    Ok(costs)
}

fn print(variants: &[Variant], costs: &[Vec<Usage>]) {
    let time = |costs: &[Usage]| median(costs.iter().map(|cost| cost.time)).unwrap_or_default();
    let faults = |costs: &[Usage]| median(costs.iter().map(|cost| cost.minor_faults + cost.major_faults));
    let base = costs.first().map_or(Duration::ZERO, |costs| time(costs)).as_secs_f64();
    println!("| program | median | relative | page faults |");
    println!("|---|--:|--:|--:|");
    for (variant, costs) in variants.iter().zip(costs) {
        println!(
            "| {} | {} µs | {:.2} × | {} |",
            variant.name,
            time(costs).as_micros(),
            time(costs).as_secs_f64() / base,
            faults(costs).unwrap_or_default()
        );
    }
}

/// The middle one, the lower of two.
fn median<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.into_iter().nth(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one() {
        assert_eq!(median([5, 1, 3].into_iter()), Some(3));
        assert_eq!(median([4, 1, 3, 2].into_iter()), Some(2));
        assert_eq!(median(std::iter::empty::<u8>()), None);
    }
}
