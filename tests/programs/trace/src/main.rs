//! Random allocation traces whose results are known: one root with the results of many, each of which follows from a
//! seed. The program compares them with a model, goes on with them as a program does with its values, and compares
//! again. So whatever the allocator, the plan or the image gets wrong comes out as a wrong answer.
//!
//! ```text
//! TRACE_SEED       seed of the first trace; the others have the numbers behind it
//! TRACE_COUNT      number of traces
//! TRACE_NOISE      makes runs allocate differently: see `noise`
//! ```

mod model;
mod noise;
mod object;
mod operation;

use noise::Noise;
use object::Object;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use witness::evaluated;

fastboot_rt::install!();

/// The results of some traces.
struct Traces {
    seeds: std::ops::Range<u64>,
    slots: Vec<Vec<Object>>,
}

fastboot_rt::frozen! {
    /// The results of the traces that the environment asks for.
    static TRACES: Mutex<Traces> = evaluated("TRACES", || Mutex::new(follow_all()));
}

fn follow_all() -> Traces {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("TRACE_SEED").unwrap_or(1);
    let seeds = seed..seed + number("TRACE_COUNT").unwrap_or(100);
    let noise = Noise::from_environment();
    let follow = |seed| {
        let mut slots = object::empty();
        object::follow(&mut slots, &operation::trace(seed), noise);
        slots
    };
    Traces { slots: seeds.clone().map(follow).collect(), seeds }
}

/// What a thawed trace is taken further by.
fn later(seed: u64) -> u64 {
    !seed
}

fn main() {
    let mut traces = TRACES.lock().expect("nobody panicked");
    let Traces { seeds, slots } = &mut *traces;
    let mut wrong = 0;
    for (seed, objects) in seeds.clone().zip(slots.iter_mut()) {
        let mut expected = model::empty();
        let mut check = |what, objects: &[Object], expected: &[model::Content]| {
            let found: Vec<_> = objects.iter().map(Object::content).collect();
            let mut hasher = DefaultHasher::new();
            found.hash(&mut hasher);
            println!("seed {seed} {what}: {:016x}", hasher.finish());
            for (slot, (found, expected)) in found.iter().zip(expected).enumerate() {
                if found != expected {
                    wrong += 1;
                    eprintln!("seed {seed}: slot {slot} is wrong {what}: {found:?}, not {expected:?}");
                }
            }
        };
        model::follow(&mut expected, &operation::trace(seed));
        check("at first", objects, &expected);
        model::follow(&mut expected, &operation::trace(later(seed)));
        object::follow(objects, &operation::trace(later(seed)), Noise::default());
        check("later", objects, &expected);
    }
    let bytes: usize = slots.iter().flatten().map(|object| object.content().len()).sum();
    slots.clear();
    println!("{} traces from {} on, {bytes} bytes, {wrong} wrong", seeds.end - seeds.start, seeds.start);
    drop(traces);
    witness::sources!(TRACES);
    if wrong > 0 {
        std::process::exit(1);
    }
}
