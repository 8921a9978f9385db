//! A file of pages with long texts: load it, look at 100 titles and 3 texts. Prints a Markdown table.
//!
//! ```text
//! bench-defer [PAGES]          default 1000000; makes 1.6 GB for each of six formats in the temporary folder
//! ```
//!
//! Every measurement is a process of its own with the file in the page cache, best of five. Ratios travel between
//! machines, times do not: the table gives each time over that of deferred loading in the same run.
//!
//! The frozen program takes part if it has been built beside this one:
//!
//! ```text
//! BENCH_DEFER_PAGES=1000000 cargo fastboot build --release -p bench-defer --bin bench-defer-frozen
//! ```

mod contest;
mod frozen;
mod pages;

use anyhow::{Context, Result, bail};
use contest::{CONTESTANTS, Contestant, GROUPS};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const RUNS: usize = 5;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The processes that measure.
        ["make", name, pages, file] => (contestant(name)?.make)(&PathBuf::from(file), pages.parse()?),
        ["use", name, pages, file] => {
            let (time, read, sum) = (contestant(name)?.look)(&PathBuf::from(file), pages.parse()?)?;
            println!("{} {read} {sum}", time.as_nanos());
            Ok(())
        }
        [] => contest(1_000_000),
        [pages] => contest(pages.parse().context("PAGES is a number")?),
        _ => bail!("bench-defer [PAGES]"),
    }
}

fn contestant(name: &str) -> Result<&'static Contestant> {
    CONTESTANTS.iter().find(|c| c.name == name).with_context(|| format!("nobody is called {name}"))
}

struct Line {
    name: &'static str,
    file_len: u64,
    time: Duration,
    read: u64,
}

fn contest(pages: usize) -> Result<()> {
    let own = std::env::current_exe()?;
    let frozen = frozen::find(&own, pages);
    if let Err(how) = &frozen {
        eprintln!("{how}");
    }
    let pages = pages.to_string();
    let run = |verb: &str, name: &str, file: &PathBuf| -> Result<String> {
        let out = Command::new(&own).args([verb, name, &pages]).arg(file).output()?;
        if !out.status.success() {
            bail!("{verb} {name}: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8(out.stdout)?)
    };
    let file_of = |contestant: &Contestant| {
        std::env::temp_dir().join(format!("bench-defer-{}.{}", std::process::id(), contestant.file))
    };
    for group in GROUPS {
        let contestants: Vec<&Contestant> = CONTESTANTS.iter().filter(|c| c.group == group).collect();
        let mut lines: Vec<Line> = Vec::new();
        let mut sums = Vec::new();
        let mut made = "";
        for contestant in &contestants {
            if made != contestant.file {
                eprintln!("writing {}", contestant.file);
                run("make", contestant.name, &file_of(contestant))?;
                made = contestant.file;
            }
            let file_len = std::fs::metadata(file_of(contestant))?.len();
            lines.push(Line { name: contestant.name, file_len, time: Duration::MAX, read: 0 });
        }
        let frozen = frozen.as_ref().ok().filter(|_| group == GROUPS[0]);
        let mut frozen_times = [Duration::MAX; 2];
        // Everyone in turn, so that what else the machine does hits all alike.
        for _ in 0..RUNS {
            for (contestant, line) in contestants.iter().zip(&mut lines) {
                let out = run("use", contestant.name, &file_of(contestant))?;
                let numbers: Vec<u64> = out.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
                let [nanos, read, sum] = numbers[..] else { bail!("{}: {out}", contestant.name) };
                sums.push(sum);
                line.time = line.time.min(Duration::from_nanos(nanos));
                line.read = read;
            }
            if let Some(program) = frozen {
                let (whole, main, sum) = frozen::look(program, &pages)?;
                sums.push(sum);
                frozen_times = [frozen_times[0].min(whole), frozen_times[1].min(main)];
            }
        }
        if let Some(program) = frozen {
            let names = ["frozen, the whole process (read: estimated)", "the same, from `main` on (read: estimated)"];
            for (name, time) in names.into_iter().zip(frozen_times) {
                let file_len = std::fs::metadata(program)?.len();
                lines.push(Line { name, file_len, time, read: contest::TOUCHED });
            }
        }
        for contestant in &contestants {
            // Two that read the same file remove it once.
            let _ = std::fs::remove_file(file_of(contestant));
        }
        if sums.iter().any(|sum| *sum != sums[0]) {
            bail!("not all saw the same: {sums:?}");
        }
        table(group, &pages, &lines);
    }
    Ok(())
}

fn table(group: &str, pages: &str, lines: &[Line]) {
    let first = &lines[0];
    println!("\n{pages} pages, {group}\n");
    println!("| | file, MB | read, MB | time, ms | time, ratio |");
    println!("|---|---:|---:|---:|---:|");
    for line in lines {
        println!(
            "| {} | {:.1} | {:.3} | {:.2} | {:.3} |",
            line.name,
            line.file_len as f64 / 1e6,
            line.read as f64 / 1e6,
            line.time.as_secs_f64() * 1e3,
            line.time.as_secs_f64() / first.time.as_secs_f64(),
        );
    }
}
