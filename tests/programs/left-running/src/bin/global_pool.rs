//! A root that is made with rayon's global pool, and a program that uses that pool again.

use rayon::prelude::*;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static TEXTS: Vec<String> = (0..10_000_u64).into_par_iter().map(|number| number.to_string()).collect();
}

fn main() {
    println!("{}", TEXTS.par_iter().map(String::len).sum::<usize>());
}
