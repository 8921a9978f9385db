//! Facts about the process that an expression leaves in statics.

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::{Instant, SystemTime};

fastboot_rt::install!();

static PROCESS: OnceLock<u32> = OnceLock::new();
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| std::env::current_exe().unwrap_or_default());
static ARGUMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static CORES: OnceLock<usize> = OnceLock::new();
static TODAY: OnceLock<u64> = OnceLock::new();
static WORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn cores() -> usize {
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn today() -> u64 {
    *TODAY.get_or_init(|| SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86400))
}

fn arguments() -> Vec<String> {
    let mut known = ARGUMENTS.lock().unwrap();
    if known.is_empty() {
        known.extend(std::env::args().skip(1));
        known.push("end".to_owned());
    }
    known.clone()
}

fastboot_rt::frozen! {
    static TABLE: Vec<u32> = {
        PROCESS.get_or_init(std::process::id);
        let _ = (*BEGAN, PROGRAM.as_os_str(), cores(), today(), arguments());
        WORDS.lock().unwrap().push("word".to_owned());
        (0..9).collect()
    };
}

fn main() {
    let own = *PROCESS.get_or_init(std::process::id) == std::process::id();
    let program = std::env::current_exe().is_ok_and(|path| path == *PROGRAM);
    println!("{} {own} {program} {:?} {}", TABLE.len(), arguments(), BEGAN.elapsed().as_secs() < 60);
    println!("{} {} {:?}", cores(), today() > 0, WORDS.lock().unwrap());
}
