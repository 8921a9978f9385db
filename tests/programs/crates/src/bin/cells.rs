//! `once_cell`: cells that are set, and cells that are not; and a lazy static of ours, warm because it was used.

use crates::{answer, evaluated, word};
use once_cell::race::OnceBox;
use once_cell::sync::{Lazy, OnceCell};

fastboot_rt::install!();

static LAZY: Lazy<Vec<String>> = Lazy::new(|| (0..1000).map(word).collect());

#[derive(Default)]
struct Cells {
    full: OnceCell<String>,
    empty: OnceCell<String>,
    boxed: OnceBox<Vec<u32>>,
    words: Vec<&'static str>,
}

fastboot_rt::frozen! {
    static CELLS: Cells = evaluated("CELLS", || {
        let cells = Cells { words: LAZY.iter().map(String::as_str).collect(), ..Cells::default() };
        cells.full.get_or_init(|| "set at build time".to_owned());
        cells.boxed.get_or_init(|| Box::new((0..100).collect()));
        cells
    }), check = |thawed, fresh| {
        (&thawed.full, &thawed.empty, &thawed.words) == (&fresh.full, &fresh.empty, &fresh.words)
            && thawed.boxed.get() == fresh.boxed.get()
    };
}

fn main() {
    answer("full", format_args!("{:?}", CELLS.full));
    answer("boxed", format_args!("{:?}", CELLS.boxed.get()));
    answer("empty", format_args!("{:?} {:?}", CELLS.empty.get(), CELLS.empty.get_or_init(|| "set now".to_owned())));
    answer("of the lazy static", std::ptr::eq(CELLS.words[17], LAZY[17].as_str()));
    crates::sources!(CELLS);
}
