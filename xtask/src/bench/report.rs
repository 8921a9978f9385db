//! The results as Markdown.

use super::allocator::Allocator;
use super::freeze::Freeze;
use super::rebuild::Rebuild;
use super::results::{Measured, MeasuredRow, Results};
use super::rows::{BINCODE, EMPTY, EMPTY_STATIC, FASTBOOT_COLD, RKYV, TEXT};
use super::scaling::{Curve, Scaling};
use super::statistics::Spread;
use super::{PROCESSES, Size, targets};

/// Nothing to say.
const BLANK: &str = "";

/// Everything.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = format!("# Measurements\n\n{}.\n\n", results.machine.line());
    let (before, after) = results.machine.load;
    text += &format!(
        "Load before {before:.1}, after {after:.1}; transparent huge pages: {}. {} Files were in the page cache.\n\n",
        results.machine.huge_pages,
        match results.size {
            Size::Quick => "A quick run.",
            Size::Full => "A full run.",
        }
    );
    if let Some(warning) = results.machine.warning() {
        text += &format!("**{warning}**\n\n");
    }
    text += "How to read the tables: docs/measuring.md.\n";
    for table in &results.tables {
        text += &format!("\n## {}\n\n{}\n{}", table.title, times(table), costs(table));
    }
    if let Some(scan) = &results.scan {
        text += &format!(
            "\n## A scan of all of W1\n\n| scan | time |\n|---|--:|\n| first, of thawed values | {} |\n\
             | later, of thawed values | {} |\n| later, of built values | {} |\n| thawed / built, same round | {} |\n",
            time(scan.first),
            time(scan.thawed),
            time(scan.built),
            ratio(&scan.ratio)
        );
    }
    if !results.page_cache.is_empty() {
        text += "\n## W1, 100 look-ups, by what the page cache has of the file\n\n\
                 | program | the file was | median | p10 – p90 | page faults |\n|---|---|--:|--:|--:|\n";
        for state in &results.page_cache {
            let [low, middle, high] = times_of(state.wall);
            text +=
                &format!("| {} | {} | {middle} | {low} – {high} | {:.0} |\n", state.program, state.state, state.faults);
        }
    }
    if !results.refused.is_empty() {
        text += "\n## W1, an image that is refused\n\n| why | median | p10 – p90 |\n|---|--:|--:|\n";
        for refused in &results.refused {
            let [low, middle, high] = times_of(refused.time);
            text += &format!("| {} | {middle} | {low} – {high} |\n", refused.why);
        }
    }
    if let Some(scaling) = &results.scaling {
        text += &growth(scaling);
    }
    if !results.freeze.is_empty() {
        text += &format!("\n## Freezing\n\n{}", freezes(&results.freeze));
    }
    if !results.allocator.is_empty() {
        text += &format!("\n## Allocators\n\n{}", allocators(&results.allocator));
    }
    if !results.rebuild.is_empty() {
        text += &format!("\n## A build after a change of `main`\n\n{}", rebuilds(&results.rebuild));
    }
    text + &format!("\n## Targets\n\n{}", targets::table(results))
}

/// How what a start takes grows with the image and with what is done.
fn growth(scaling: &Scaling) -> String {
    let mut text = format!("\n## By size of the image\n\n{}", curves(&scaling.by_size, "MB"));
    text += &format!("\nThe thaw alone:\n\n{}", curves(&scaling.thaw, "MB"));
    text += "\nHow it grows, in nanoseconds for each megabyte from the smallest image to the largest:\n\n\
             | source | median | p10 – p90 |\n|---|--:|--:|\n";
    for growth in &scaling.growth {
        let Spread { p10, median, p90 } = growth.per_megabyte;
        text += &format!("| {} | {median:.2} ns | {p10:.2} – {p90:.2} ns |\n", growth.source);
    }
    text += &format!("\n## By number of look-ups, W1\n\n{}", curves(&scaling.by_look_ups, "look-ups"));
    text += "\n## Where they cross\n\n";
    scaling.crossings.iter().for_each(|crossing| text += &format!("- {crossing}\n"));
    text
}

fn times(table: &Measured) -> String {
    let mut text =
        "| program | task | median | p10 – p90 | × empty | p10 – p90 | start | load | look-ups | exit | runs |\n\
                    |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for row in &table.rows {
        let parts = row.parts.as_ref().map(|parts| [parts.start, parts.load, parts.look_ups, parts.exit].map(time));
        let parts = parts.unwrap_or_default().join(" | ");
        text += &format!(
            "| {} | {} | {} | {} – {} | {:.2} | {:.2} – {:.2} | {parts} | {} |\n",
            row.program,
            row.task,
            time(row.wall.median),
            time(row.wall.p10),
            time(row.wall.p90),
            row.ratio.median,
            row.ratio.p10,
            row.ratio.p90,
            row.rounds,
        );
    }
    text
}

fn costs(table: &Measured) -> String {
    let mut text = format!(
        "| program | task | page faults | system calls | instructions | private | share of {PROCESSES} | binary | data \
         | build | thaw |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for row in &table.rows {
        let memory = row.memory.map(|memory| [memory.private, memory.share].map(bytes)).unwrap_or_default();
        text += &format!(
            "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            row.program,
            row.task,
            row.faults,
            row.system_calls.map_or(BLANK.to_owned(), |calls| calls.to_string()),
            row.instructions.map_or(BLANK.to_owned(), |count| format!("{:.0} k", count as f64 / 1e3)),
            memory[0],
            memory[1],
            bytes(row.binary_bytes),
            if row.data_bytes == 0 { BLANK.to_owned() } else { bytes(row.data_bytes) },
            row.build.map_or(BLANK.to_owned(), |seconds| format!("{seconds:.1} s")),
            row.thaw.map_or(BLANK.to_owned(), |thaw| format!("{:.1} µs", thaw.median)),
        );
    }
    text
}

fn freezes(freezes: &[Freeze]) -> String {
    let mut text =
        "| program | image | one evaluation | freeze | p10 – p90 | evaluations | allowed | freeze / allowed |\n\
                    |---|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for freeze in freezes {
        let [low, middle, high] = times_of(freeze.freeze);
        text += &format!(
            "| {} | {} | {} | {middle} | {low} – {high} | {} | {} | {} |\n",
            freeze.name,
            bytes(freeze.image_bytes),
            time(freeze.evaluation.median),
            ratio(&freeze.ratio),
            time(freeze.allowance.median),
            ratio(&freeze.used),
        );
    }
    text
}

fn allocators(allocators: &[Allocator]) -> String {
    let mut text = "| allocator | instructions | × the system's |\n|---|--:|--:|\n".to_owned();
    for Allocator { name, instructions, ratio } in allocators {
        text += &format!("| {name} | {instructions:.0} | {ratio:.4} |\n");
    }
    text
}

fn rebuilds(rebuilds: &[Rebuild]) -> String {
    let mut text = "| program | binary | `cargo build` | taken over | longer than `cargo build` | frozen again |\n\
                    |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for rebuild in rebuilds {
        let [low, middle, high] = times_of(rebuild.longer);
        text += &format!(
            "| {} | {} | {} | {} | {middle} ({low} – {high}) | {} |\n",
            rebuild.name,
            bytes(rebuild.binary_bytes),
            time(rebuild.plain.median),
            time(rebuild.migrated.median),
            time(rebuild.frozen.median),
        );
    }
    text
}

/// Medians, a line for each place where any curve has a point.
fn curves(curves: &[Curve], unit: &str) -> String {
    let mut places: Vec<f64> = curves.iter().flat_map(|curve| curve.points.iter().map(|(x, _)| *x)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let names: String = curves.iter().map(|curve| format!(" {} |", curve.name)).collect();
    let mut text = format!("| {unit} |{names}\n|--:|{}\n", "--:|".repeat(curves.len()));
    for place in places {
        let at = |curve: &Curve| curve.points.iter().find(|(x, _)| *x == place).map(|(_, spread)| time(spread.median));
        let cells: String = curves.iter().map(|curve| format!(" {} |", at(curve).unwrap_or_default())).collect();
        text += &format!("| {place:.0} |{cells}\n");
    }
    text
}

/// The table of README.md, and what is to be said of it.
pub(crate) fn summary(results: &Results) -> Option<String> {
    let table = results.tables.iter().find(|table| table.name == "strings")?;
    let chosen = |row: &&MeasuredRow| {
        let program = row.program.as_str();
        [EMPTY, EMPTY_STATIC, TEXT, BINCODE, RKYV, FASTBOOT_COLD].contains(&program) || program.starts_with("fastboot")
    };
    let mut text = "| program | median | relative | page faults |\n|---|--:|--:|--:|\n".to_owned();
    for row in table.rows.iter().filter(chosen) {
        let name = match row.task.as_str() {
            "–" => row.program.clone(),
            task => format!("{}, {task}", row.program),
        };
        text += &format!("| {name} | {:.0} µs | {:.2} × | {:.0} |\n", row.wall.median, row.ratio.median, row.faults);
    }
    let rounds = table.rows.iter().map(|row| row.rounds).max().unwrap_or_default();
    text += &format!(
        "\nWhole processes (fork, exec, wait), medians of {rounds} interleaved runs each (fewer of the slow ones), relative \
         to the empty\nprogram of the same round. {}.\n",
        results.machine.line()
    );
    Some(text)
}

/// Microseconds, in the unit that suits them.
pub(crate) fn time(microseconds: f64) -> String {
    match microseconds {
        small if small < 10.0 => format!("{small:.1} µs"),
        micro if micro < 10_000.0 => format!("{micro:.0} µs"),
        milli if milli < 10_000_000.0 => format!("{:.0} ms", milli / 1e3),
        more => format!("{:.1} s", more / 1e6),
    }
}

fn times_of(spread: Spread) -> [String; 3] {
    [spread.p10, spread.median, spread.p90].map(time)
}

fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        small if small < 1e6 => format!("{:.0} kB", small / 1e3),
        large => format!("{:.1} MB", large / 1e6),
    }
}

fn ratio(spread: &Spread) -> String {
    format!("{:.2} ({:.2} – {:.2})", spread.median, spread.p10, spread.p90)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_suit_the_numbers() {
        assert_eq!(time(3.16), "3.2 µs");
        assert_eq!(time(631.4), "631 µs");
        assert_eq!(time(258_421.0), "258 ms");
        assert_eq!(time(12_300_000.0), "12.3 s");
        assert_eq!(bytes(4096), "4 kB");
        assert_eq!(bytes(91_400_000), "91.4 MB");
    }
}
