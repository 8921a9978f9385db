//! A root whose expression never ends.

use std::thread;
use std::time::Duration;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static ENDLESS: u32 = loop {
        thread::sleep(Duration::from_millis(10));
    };
}

fn main() {
    println!("{}", *ENDLESS);
}
