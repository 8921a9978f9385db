//! Allocating and freeing, as programs do besides what is frozen.

use crate::Run;

/// How many paths are taken apart at a time.
pub const PATHS: usize = 20;

/// Each look-up takes paths apart, copies what it got, looks at one of them, and drops it all. More than half of the
/// instructions are the allocator's. No hashes: their keys differ from run to run, and so would the number of instructions.
/// And nothing generic: it is compiled once, so both programs have the same instructions.
#[inline(never)]
pub fn main(mut run: Run, paths: fn() -> &'static [String]) -> ! {
    if run.touches() {
        let paths = paths();
        run.look_up(paths.len(), |asked, answer| {
            let apart = |path: &String| path.split('/').map(str::to_owned).collect();
            let words: Vec<Vec<String>> = paths.iter().map(apart).collect();
            words.clone()[asked].iter().for_each(|word| answer.bytes(word.as_bytes()));
        });
    }
    run.finish()
}
