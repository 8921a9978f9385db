//! An index of 200,000 words.

use workloads::{Run, map, read};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static INDEX: map::Map = {
        frozen::reads(map::TEXT);
        map::from_text(&String::from_utf8_lossy(&read(map::TEXT)))
    };
}

fn main() {
    let mut run = Run::start();
    map::look_up(&mut run, || &*INDEX);
    run.finish()
}
