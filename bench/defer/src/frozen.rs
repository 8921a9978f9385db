//! The frozen program that takes part if it has been built: `src/bin/frozen.rs`.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The program beside this one, or how to build it.
pub(crate) fn find(own: &Path, pages: usize) -> Result<PathBuf, String> {
    let path = own.with_file_name("bench-defer-frozen");
    let found = Command::new(&path).output().ok().filter(|out| out.status.success());
    let found = found.and_then(|out| String::from_utf8_lossy(&out.stdout).trim().parse::<usize>().ok());
    if found == Some(pages) {
        return Ok(path);
    }
    Err(format!(
        "no frozen program with {pages} pages takes part; build it with \
         `BENCH_DEFER_PAGES={pages} cargo fastboot build --release -p bench-defer --bin bench-defer-frozen`"
    ))
}

/// Time of the whole process, time from `main` on, and the sum of what was seen.
pub(crate) fn look(program: &Path, pages: &str) -> Result<(Duration, Duration, u64)> {
    let start = Instant::now();
    let out = Command::new(program).arg(pages).output()?;
    let whole = start.elapsed();
    if !out.status.success() {
        bail!("{}: {}", program.display(), String::from_utf8_lossy(&out.stderr));
    }
    let text = String::from_utf8(out.stdout)?;
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [nanos, sum] = numbers[..] else { bail!("{}: {text}", program.display()) };
    Ok((whole, Duration::from_nanos(nanos), sum))
}
