//! An index of 200,000 words.

use workloads::{Run, map};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static INDEX: map::Map = map::from_text(&String::from_utf8_lossy(&workloads::read(map::TEXT)));
}

fn main() {
    let mut run = Run::start();
    map::look_up(&mut run, || &*INDEX);
    run.finish()
}
