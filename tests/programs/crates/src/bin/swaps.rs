//! `arc-swap`: a shared value, swapped while threads read it.

use arc_swap::{ArcSwap, ArcSwapOption};
use crates::{answer, evaluated, word};
use std::sync::Arc;
use std::thread;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static SETTINGS: (ArcSwap<Vec<String>>, ArcSwapOption<String>) = evaluated("SETTINGS", || {
        let settings = ArcSwap::from_pointee(vec!["of the build".to_owned()]);
        let guard = settings.load();
        settings.store(Arc::new((0..100).map(word).collect()));
        drop(guard);
        (settings, ArcSwapOption::empty())
    }), check = |thawed, fresh| *thawed.0.load_full() == *fresh.0.load_full();
}

fn main() {
    answer("settings", format_args!("{} {:?}", SETTINGS.0.load().len(), SETTINGS.1.load()));
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..1000 {
                    assert!(!SETTINGS.0.load().is_empty());
                    SETTINGS.0.rcu(|now| [&now[..1.max(now.len() / 2)], &[word(thread * 1000 + number)]].concat());
                }
            });
        }
    });
    answer("first", &SETTINGS.0.load()[0]);
    SETTINGS.1.store(Some(Arc::new("set now".to_owned())));
    answer("option", format_args!("{:?}", SETTINGS.1.swap(None)));
    crates::sources!(SETTINGS);
}
