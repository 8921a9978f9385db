//! Values that are the same everywhere, and one that depends on what the expression declares.

use std::collections::BTreeMap;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static INDEX: BTreeMap<String, usize> = (0..100).map(|number| (format!("number {number}"), number)).collect();
    static LANGUAGE: Option<std::ffi::OsString> = fastboot_rt::input_env("LANG");
}

fn main() {
    println!("{:?} {:?}", INDEX.get("number 7"), *LANGUAGE);
}
