//! Takes paths apart, with the system's allocator. Named, as the other's is: the default one may be reached in another way.

use std::alloc::System;
use std::sync::LazyLock;
use workloads::{Run, churn, strings};

#[global_allocator]
static ALLOCATOR: System = System;

static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| strings::made_up(churn::PATHS));

fn main() {
    churn::main(Run::start(), || PATHS.as_slice())
}
