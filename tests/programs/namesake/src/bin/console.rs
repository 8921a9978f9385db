//! What is true of the published crate `console`, that its statics are not carried, is not of this one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fastboot_rt::install!();

static NEXT: AtomicUsize = AtomicUsize::new(1);
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fastboot_rt::frozen! {
    static COMMANDS: Vec<(usize, usize)> = {
        match case().as_str() {
            "hook" => namesake::set_hook(hundredfold),
            "closure" => namesake::set_hook(|n| n * 1000),
            "registry" => _ = namesake::register("of the expression"),
            _ => {}
        }
        ["help", "quit"].map(command).to_vec()
    }, check = |_, _| true;
}

fn case() -> String {
    fastboot_rt::input_env("CASE").map_or_else(String::new, |case| case.to_string_lossy().into_owned())
}

fn hundredfold(n: u32) -> u32 {
    n * 100
}

fn command(name: &str) -> (usize, usize) {
    let mut names = NAMES.lock().unwrap();
    names.push(name.to_owned());
    (NEXT.fetch_add(1, Ordering::Relaxed), names.len() - 1)
}

fn main() {
    println!("{}", COMMANDS.len());
    let own = command("own");
    for (id, name) in COMMANDS.iter().chain([&own]) {
        println!("{id} {:?}", NAMES.lock().unwrap().get(*name));
    }
    println!("{}", namesake::call(3));
}
