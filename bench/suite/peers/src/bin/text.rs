//! No format: built from the text at every start.

use peers::{Call, Workload, map, strings};

fn main() {
    match Call::read() {
        Call::Save(_) => {}
        Call::Use(Workload::Strings, mut run) => {
            workloads::strings::look_up(&mut run, || strings().leak());
            run.finish()
        }
        Call::Use(Workload::Map, mut run) => {
            workloads::map::look_up(&mut run, || Box::leak(Box::new(map())));
            run.finish()
        }
    }
}
