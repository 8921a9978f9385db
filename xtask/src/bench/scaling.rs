//! How the times grow with the image and with the number of look-ups, and where they cross.

use super::Size;
use super::programs::{Made, Workshop};
use super::rounds::{self, Case};
use super::rows::{self, FASTBOOT_STATIC, LOOK_UPS, Program, RKYV, Row, TEXT, thousands};
use super::statistics::Spread;
use super::thaw::{growth, thaw};
use crate::command::run;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// How many bytes a path takes in an image, with its `String`.
const BYTES_PER_PATH: f64 = 91.4;
const SCALED: Program = Program::Fastboot { binary: "strings", flags: &["--static"] };
const COLD: Program = Program::Cold { binary: "strings", flags: &["--static"] };
const RKYV_PEER: Program = Program::Peer { binary: "rkyv", ending: "rkyv", checked: false };
const TEXT_PEER: Program = Program::Peer { binary: "text", ending: "txt", checked: false };

/// All curves. Times are in microseconds.
#[derive(Serialize)]
pub(crate) struct Scaling {
    /// By megabytes of image.
    pub(crate) by_size: Vec<Curve>,
    /// What `FASTBOOT_LOG` says of the thaw, by megabytes of image: a curve for each source.
    pub(crate) thaw: Vec<Curve>,
    /// How it grows from the smallest image to the largest.
    pub(crate) growth: Vec<Growth>,
    /// By number of look-ups, in W1.
    pub(crate) by_look_ups: Vec<Curve>,
    /// Where curves cross, in words.
    pub(crate) crossings: Vec<String>,
}

/// A line of a plot.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Spread)>,
}

/// How the thaw of a source grows with its image.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) source: &'static str,
    /// Nanoseconds for each megabyte, taken from runs of both images in turn.
    pub(crate) per_megabyte: Spread,
}

/// Sizes of images, in megabytes.
fn sizes(size: Size) -> &'static [u32] {
    match size {
        Size::Quick => &[1, 16, 256],
        Size::Full => &[1, 4, 16, 64, 256, 1024, 4096],
    }
}

/// Measures all curves.
pub(crate) fn scaling(workshop: &mut Workshop, size: Size) -> Result<Scaling> {
    let (by_size, thaw, growth) = by_size(workshop, size)?;
    let by_look_ups = by_look_ups(workshop, size)?;
    let crossings = crossings(&by_size, &by_look_ups);
    Ok(Scaling { by_size, thaw, growth, by_look_ups, crossings })
}

fn by_size(workshop: &mut Workshop, size: Size) -> Result<(Vec<Curve>, Vec<Curve>, Vec<Growth>)> {
    let (mut curves, mut thaws) = (Vec::new(), Vec::new());
    let all = workshop.folder.join("scaling");
    let folder_of = |megabytes: u32| all.join(megabytes.to_string());
    let sizes = sizes(size);
    for megabytes in sizes {
        let folder = folder_of(*megabytes);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let cases = scaled(workshop, &folder, *megabytes)?;
        let samples = rounds::run(&cases, &[], size)?;
        let x = f64::from(*megabytes);
        for (case, samples) in cases.iter().zip(&samples) {
            let name = match case.row.task().as_str() {
                "–" => case.row.name.clone(),
                task => format!("{}, {task}", case.row.name),
            };
            add(&mut curves, &name, (x, rounds::spread(samples, |sample| sample.wall)));
        }
        for (source, case) in sources(workshop, &folder)? {
            let spread = thaw(&case)?.with_context(|| format!("{source} of {megabytes} MB does not thaw"))?;
            add(&mut thaws, source, (x, spread));
        }
        if ![sizes.first(), sizes.last()].contains(&Some(megabytes)) {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    let ends = sizes.first().zip(sizes.last()).context("no sizes")?;
    let growths = growths(workshop, (*ends.0, &folder_of(*ends.0)), (*ends.1, &folder_of(*ends.1)))?;
    std::fs::remove_dir_all(&all).with_context(|| format!("cannot remove {}", all.display()))?;
    Ok((curves, thaws, growths))
}

/// Adds a point to the curve of that name.
fn add(curves: &mut Vec<Curve>, name: &str, point: (f64, Spread)) {
    match curves.iter_mut().find(|curve| curve.name == name) {
        Some(curve) => curve.points.push(point),
        None => curves.push(Curve { name: name.to_owned(), points: vec![point] }),
    }
}

/// How the thaw grows from one size, in megabytes, to another.
fn growths(workshop: &mut Workshop, small: (u32, &Path), large: (u32, &Path)) -> Result<Vec<Growth>> {
    let pairs = sources(workshop, small.1)?.into_iter().zip(sources(workshop, large.1)?);
    let growth = |((source, small_one), (_, large_one)): ((&'static str, Case), (_, Case))| {
        let grown = growth(&small_one, &large_one)?.with_context(|| format!("{source} does not thaw"))?;
        let per_megabyte = grown.times(1000.0 / f64::from(large.0 - small.0));
        Ok(Growth { source, per_megabyte })
    };
    pairs.map(growth).collect()
}

const SNAPSHOT: &str = "strings.snap";
const SECTION: &str = "strings";
const FOOTER: &str = "strings-footer";

/// W1 with more or fewer paths: the same cold binary frozen anew, so that nothing is compiled.
fn scaled(workshop: &mut Workshop, folder: &Path, megabytes: u32) -> Result<Vec<Case>> {
    let count = (f64::from(megabytes) * 1e6 / BYTES_PER_PATH) as usize;
    let with_data = |mut command: Command| {
        command.env("BENCH_DATA", folder);
        command
    };
    run(with_data(workshop.data(workshop.built("make-data"))).args(["paths", &count.to_string()]))?;
    let cold = workshop.make(COLD, "strings")?.binary;
    let snapshot = folder.join(SNAPSHOT);
    run(with_data(workshop.tool("freeze")).arg("--binary").arg(&cold).arg("--output").arg(&snapshot))?;
    for (name, flag) in [(SECTION, None), (FOOTER, Some("--footer"))] {
        let mut embed = workshop.tool("embed");
        embed.arg("--binary").arg(&cold).arg("--snapshot").arg(&snapshot).arg("--output").arg(folder.join(name));
        run(embed.args(flag))?;
    }
    let rkyv = workshop.make(RKYV_PEER, "strings")?.binary;
    run(with_data(workshop.data(&rkyv)).args(["strings", "--save"]))?;
    let text = workshop.make(TEXT_PEER, "strings")?.binary;

    let empty = rows::empty();
    let mut cases = vec![Case { made: workshop.make(empty.program, "empty")?, row: empty }];
    let mut case = |name, program, binary: &Path, workload, look_ups| {
        let made = Made::elsewhere(binary.to_owned(), workload, folder.to_owned());
        cases.push(Case { row: Row::new(name, "strings", program, look_ups), made });
    };
    let embedded = folder.join(SECTION);
    case(FASTBOOT_STATIC, SCALED, &embedded, None, 0);
    case(FASTBOOT_STATIC, SCALED, &embedded, None, LOOK_UPS);
    case(RKYV, RKYV_PEER, &rkyv, Some("strings"), LOOK_UPS);
    case(TEXT, TEXT_PEER, &text, Some("strings"), LOOK_UPS);
    Ok(cases)
}

/// The images that [`scaled`] left in a folder, by source.
fn sources(workshop: &mut Workshop, folder: &Path) -> Result<[(&'static str, Case); 3]> {
    let cold = workshop.make(COLD, "strings")?.binary;
    let case = |source, binary: &Path| {
        let made = Made::elsewhere(binary.to_owned(), None, folder.to_owned());
        (source, Case { row: Row::new(source, "strings", SCALED, 0), made })
    };
    let (source, mut snapshot) = case("snapshot file", &cold);
    snapshot.made = snapshot.made.with("FASTBOOT_SNAPSHOT", folder.join(SNAPSHOT));
    Ok([case("section", &folder.join(SECTION)), case("footer", &folder.join(FOOTER)), (source, snapshot)])
}

fn by_look_ups(workshop: &mut Workshop, size: Size) -> Result<Vec<Curve>> {
    let empty = rows::empty();
    let mut cases = vec![Case { made: workshop.make(empty.program, "empty")?, row: empty }];
    let mut names = vec![rows::EMPTY.to_owned()];
    let orders: [(&str, &[&str]); 2] = [("random", &["--order", "random"]), ("sequential", &["--order", "sequential"])];
    for (name, program) in [(FASTBOOT_STATIC, SCALED), (RKYV, RKYV_PEER), (TEXT, TEXT_PEER)] {
        for (order, how) in orders {
            for exponent in (0..=6).step_by(if size == Size::Quick { 2 } else { 1 }) {
                let row = Row { how, ..Row::new(name, "strings", program, 10_usize.pow(exponent)) };
                cases.push(Case { made: workshop.make(program, "strings")?, row });
                names.push(format!("{name}, {order}"));
            }
        }
    }
    let samples = rounds::run(&cases, &[], size)?;
    let mut curves: Vec<Curve> = Vec::new();
    for ((name, case), samples) in names.iter().zip(&cases).zip(&samples) {
        let spread = rounds::spread(samples, |sample| sample.wall);
        if case.row.look_ups == 0 {
            // The same at both ends.
            curves.push(Curve { name: name.clone(), points: vec![(1.0, spread), (1e6, spread)] });
            continue;
        }
        add(&mut curves, name, (case.row.look_ups as f64, spread));
    }
    Ok(curves)
}

/// Where fastboot's curves cross the others.
fn crossings(by_size: &[Curve], by_look_ups: &[Curve]) -> Vec<String> {
    let mut found = Vec::new();
    for (curves, unit) in [(by_size, "MB"), (by_look_ups, "look-ups")] {
        let (own, others): (Vec<&Curve>, Vec<&Curve>) =
            curves.iter().partition(|curve| curve.name.starts_with(FASTBOOT_STATIC));
        for (own, other) in own.iter().flat_map(|own| others.iter().map(move |other| (own, other))) {
            // Sequential against random means nothing.
            let order = |curve: &Curve| curve.name.rsplit_once(", ").map(|(_, order)| order.to_owned());
            if unit == "look-ups" && other.points.len() > 2 && order(own) != order(other) {
                continue;
            }
            found.push(match crossing(own, other) {
                Crossing::Always(true) => format!("{} is always faster than {}", own.name, other.name),
                Crossing::Always(false) => format!("{} is never faster than {}", own.name, other.name),
                Crossing::At(x) => {
                    format!("{} is faster than {} up to {} {unit}", own.name, other.name, thousands(x.round() as usize))
                }
            });
        }
    }
    found
}

/// How one curve lies to another.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crossing {
    /// Below (true) or above it everywhere.
    Always(bool),
    /// Below it up to here.
    At(f64),
}

fn crossing(own: &Curve, other: &Curve) -> Crossing {
    let difference = |(x, spread): &(f64, Spread)| Some((*x, spread.median.ln() - value(other, *x)?.ln()));
    let differences: Vec<(f64, f64)> = own.points.iter().filter_map(difference).collect();
    // The last change of sign: what lies before is noise around a tie.
    let change = differences.windows(2).rfind(|pair| pair[0].1 < 0.0 && pair[1].1 >= 0.0);
    match change {
        Some(&[(x, below), (next, above), ..]) => {
            let share = -below / (above - below);
            Crossing::At((x.ln() + share * (next.ln() - x.ln())).exp())
        }
        _ => Crossing::Always(differences.last().is_some_and(|(_, difference)| *difference < 0.0)),
    }
}

/// The height of a curve at `x`, on a straight line between points in logarithmic scales.
fn value(curve: &Curve, x: f64) -> Option<f64> {
    let exact = curve.points.iter().find(|(at, _)| *at == x);
    exact.map(|(_, spread)| spread.median).or_else(|| {
        let pair = curve.points.windows(2).find(|pair| pair[0].0 < x && x < pair[1].0)?;
        let share = (x / pair[0].0).ln() / (pair[1].0 / pair[0].0).ln();
        Some((pair[0].1.median.ln() * (1.0 - share) + pair[1].1.median.ln() * share).exp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Curve {
        let points = points.iter().map(|(x, y)| (*x, Spread { p10: *y, median: *y, p90: *y })).collect();
        Curve { name: String::new(), points }
    }

    #[test]
    fn lines_cross_between_points() {
        let flat = curve(&[(1.0, 10.0), (10_000.0, 10.0)]);
        let rising = curve(&[(1.0, 1.0), (100.0, 100.0), (10_000.0, 10_000.0)]);
        let Crossing::At(x) = crossing(&rising, &flat) else { panic!("they cross") };
        assert!((x - 10.0).abs() < 1e-9, "{x}");
        assert_eq!(crossing(&curve(&[(1.0, 2.0), (100.0, 3.0)]), &flat), Crossing::Always(true));
        assert_eq!(crossing(&curve(&[(1.0, 20.0), (100.0, 30.0)]), &flat), Crossing::Always(false));
    }
}
