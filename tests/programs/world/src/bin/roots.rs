//! Roots, each of which depends on something else that the user has otherwise.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

fastboot_rt::install!();

/// A name at the end of a chain of boxes.
#[derive(Debug)]
#[expect(clippy::redundant_allocation, reason = "the way to the text is to have more than one step")]
struct Deep(Box<Box<String>>);

/// In one word what is another one in every process, and what is not.
#[derive(Debug)]
struct Stamped {
    seconds: u32,
    in_terminal: bool,
}

fn stamped() -> Stamped {
    let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as u32);
    Stamped { seconds, in_terminal: std::io::stdout().is_terminal() }
}

/// The day that it is, counted from 1970 on.
fn day() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86400)
}

/// Whether what is to take some milliseconds takes that long, and not a year.
fn waited() -> bool {
    let (began, lock) = (Instant::now(), Mutex::new(()));
    let time = Duration::from_millis(3);
    let result = Condvar::new().wait_timeout_while(lock.lock().unwrap(), time, |()| true);
    let took = began.elapsed();
    result.is_ok_and(|(_, result)| result.timed_out()) && took >= time && took < Duration::from_secs(60)
}

fastboot_rt::frozen! {
    static COLOR: bool = std::env::var_os("NO_COLOR").is_none();
    static HOME: Deep = Deep(Box::new(Box::new(std::env::var("HOME").unwrap_or_default())));
    static NAME: String = std::env::var("USER").unwrap_or_else(|_| "nobody".to_owned());
    static LANGUAGE: Option<std::ffi::OsString> = fastboot_rt::input_env("LANG");
    static COLUMNS: u16 = world::columns();
    static TERMINAL: bool = std::io::stdout().is_terminal();
    static FOLDER: PathBuf = std::env::temp_dir();
    static CORES: usize = std::thread::available_parallelism().map_or(1, usize::from);
    static PROGRAM: Option<String> = std::env::args().next();
    static COUNT: usize = std::env::args().len();
    static MASK: u32 = world::umask();
    static PROCESS: u32 = std::process::id();
    static TIME: SystemTime = SystemTime::now();
    static STAMPED: Box<Stamped> = Box::new(stamped());
    static DAY: u64 = day();
    static HOURS: [i64; 2] = world::hours();
    static WAITED: bool = waited();
    static NOTHING: Vec<String> = ["one", "two"].map(str::to_owned).to_vec();
}

fn main() {
    println!("{} {:?} {} {:?} {} {}", *COLOR, *HOME, *NAME, *LANGUAGE, *COLUMNS, *TERMINAL);
    println!("{:?} {} {:?} {} {}", *FOLDER, *CORES, *PROGRAM, *COUNT, *MASK);
    println!("{} {}", STAMPED.seconds, STAMPED.in_terminal);
    println!("{} {:?} {} {}", *DAY, *HOURS, *WAITED, day());
    println!("{} {:?} {:?} {}", *PROCESS, *TIME, *NOTHING, HOME.0.len());
}
