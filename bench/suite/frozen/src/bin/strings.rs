//! A list of a million paths.

use workloads::{Run, strings};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static PATHS: Vec<String> = {
        frozen::reads(strings::TEXT);
        strings::from_text()
    };
}

fn main() {
    let mut run = Run::start();
    strings::look_up(&mut run, || PATHS.as_slice());
    run.finish()
}
