//! Roots, each of which depends on something else that the user has otherwise.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::SystemTime;

fastboot_rt::install!();

/// A name at the end of a chain of boxes.
#[derive(Debug)]
#[expect(clippy::redundant_allocation, reason = "the way to the text is to have more than one step")]
struct Deep(Box<Box<String>>);

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
    static NOTHING: Vec<String> = ["one", "two"].map(str::to_owned).to_vec();
}

fn main() {
    println!("{} {:?} {} {:?} {} {}", *COLOR, *HOME, *NAME, *LANGUAGE, *COLUMNS, *TERMINAL);
    println!("{:?} {} {:?} {} {}", *FOLDER, *CORES, *PROGRAM, *COUNT, *MASK);
    println!("{} {:?} {:?} {}", *PROCESS, *TIME, *NOTHING, HOME.0.len());
}
