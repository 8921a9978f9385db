//! Takes paths apart, with fastboot's allocator.

use workloads::{Run, churn, strings};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static PATHS: Vec<String> = strings::made_up(churn::PATHS);
}

fn main() {
    churn::main(Run::start(), || PATHS.as_slice())
}
