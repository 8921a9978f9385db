//! A root that holds a pool of threads.

fastboot_rt::install!();

fastboot_rt::frozen! {
    static POOL: rayon::ThreadPool =
        rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads can be started");
}

fn main() {
    println!("{}", POOL.install(|| 6 * 7));
}
