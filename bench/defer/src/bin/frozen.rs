//! The same pages as the root of a frozen program. `bench-defer` runs it if `cargo fastboot build` has made it.
//!
//! ```text
//! bench-defer-frozen           says how many pages there are
//! bench-defer-frozen PAGES     looks at titles and texts: nanoseconds from `main` on, and a sum of what was seen
//! ```
//!
//! How many pages: as the variable `BENCH_DEFER_PAGES` said when it was frozen, by default 1000000.

#[path = "../pages.rs"]
#[allow(dead_code, reason = "the other program uses what this one does not")]
mod pages;

use fastboot_rt::{Frozen, Source};
use pages::{LazyPage, lazy, look, texts, titles};
use std::time::Instant;

fastboot_rt::install!();

fastboot_rt::frozen! {
    /// All pages; their texts lie behind all titles.
    static PAGES: Vec<LazyPage> = {
        let count = std::env::var("BENCH_DEFER_PAGES").ok().and_then(|pages| pages.parse().ok());
        (0..count.unwrap_or(1_000_000)).map(lazy).collect()
    };
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    if Frozen::source(&PAGES) != Source::Section {
        return Err("built, but not frozen".into());
    }
    let Some(pages) = std::env::args().nth(1) else {
        println!("{}", PAGES.len());
        return Ok(());
    };
    let pages = pages.parse()?;
    let mut sum = titles(pages).fold(0, |sum: u64, n| sum.wrapping_add(look(&PAGES[n].title)));
    for n in texts(pages) {
        sum = sum.wrapping_add(look(PAGES[n].text.get()?));
    }
    println!("{} {sum}", start.elapsed().as_nanos());
    Ok(())
}
