//! An expression that is warmed and leaves a thread running that nobody needs.

use std::thread;
use std::time::Duration;

fastboot_rt::install!();

fastboot_rt::warm! {
    thread::spawn(|| loop {
        thread::sleep(Duration::from_secs(3600));
    })
}

fn main() {
    println!("ready");
}
