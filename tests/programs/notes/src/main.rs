//! Looks notes up by their numbers: from the first argument on, the second argument apart, as many as the third says.
//! With a fourth it then fails: `exit` or `abort`. Says on standard error how many page faults the look-ups took, and over
//! how many pieces of 64 KiB, which the kernel maps at once, the notes are spread.

use std::collections::BTreeSet;
use witness::evaluated;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static NOTES: Vec<String> = evaluated("NOTES", || (0..20_000).map(note).collect());
}

fn note(number: usize) -> String {
    format!("what note {number} says; ").repeat(12)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|argument| argument.parse().ok()).unwrap_or(1);
    let numbers = || (0..number(2)).map(|look_up| (number(0) + look_up * number(1)) % NOTES.len());
    // What asking costs is paid here.
    let _ = faults();
    let before = faults();
    let digest = numbers()
        .flat_map(|number| NOTES[number].bytes())
        .fold(0u64, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let after = faults();
    println!("{digest:016x}");
    let pieces: BTreeSet<usize> = numbers().map(|number| NOTES[number].as_ptr().addr() >> 16).collect();
    eprintln!("{} faults, {} pieces", after - before, pieces.len());
    witness::sources!(NOTES);
    match arguments.get(3).map(String::as_str) {
        Some("exit") => std::process::exit(3),
        Some("abort") => std::process::abort(),
        _ => {}
    }
}

/// How many page faults this process had for which nothing was read: `minflt` of proc_pid_stat(5).
fn faults() -> u64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = status.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind_name.split_whitespace().nth(7).and_then(|field| field.parse().ok()).unwrap_or(0)
}
