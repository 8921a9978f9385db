//! A root that holds a pool of threads, and another one that is made with rayon's global pool.

use rayon::prelude::*;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static TEXTS: Vec<String> = (0..10_000_u64).into_par_iter().map(|number| number.to_string()).collect();

    static POOL: rayon::ThreadPool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|number| format!("worker {number}"))
        .build()
        .expect("threads can be started");
}

fn main() {
    println!("{}", POOL.install(|| TEXTS.par_iter().map(String::len).sum::<usize>()));
}
