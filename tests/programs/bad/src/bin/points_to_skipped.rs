//! A root with a reference to a `OnceLock` of another crate, a static that is not carried.

use crossbeam_epoch::Collector;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static COLLECTOR: &'static Collector = crossbeam_epoch::default_collector();
}

fn main() {
    println!("{:?}", *COLLECTOR);
}
