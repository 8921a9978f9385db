//! Where the program was started, at what, and by whom.

use std::io::IsTerminal;
use std::path::PathBuf;

fastboot_rt::install!();

/// What a root has besides.
#[derive(Debug)]
struct Settings {
    file: PathBuf,
    table: Vec<u32>,
}

/// How long this package's description is, which is the same under every name of its folder.
fn length(path: PathBuf) -> usize {
    std::fs::read(path).map_or(0, |bytes| bytes.len())
}

fastboot_rt::frozen! {
    static FOLDER: PathBuf = std::env::current_dir().unwrap();
    static SETTINGS: Box<Settings> =
        Box::new(Settings { file: std::path::absolute("conf/app.toml").unwrap(), table: (1..9).collect() });
    static INTERACTIVE: bool = std::io::stdin().is_terminal();
    static USER: Vec<u32> = world::user().to_vec();
    static BY_NAME: usize = length("Cargo.toml".into());
    static BY_PATH: usize = length(std::env::current_dir().unwrap().join("Cargo.toml"));
    static WITHIN: bool = std::env::current_dir().unwrap().join("src/..").is_dir();
    static LINES: usize = std::io::stdin().lines().count();
    static AGAIN: usize = {
        let folder = std::env::current_dir().unwrap();
        std::env::set_current_dir("/").unwrap();
        std::env::set_current_dir(&folder).unwrap();
        length("Cargo.toml".into())
    };
}

fn main() {
    println!("{} {} {:?}", FOLDER.display(), SETTINGS.file.display(), SETTINGS.table);
    println!("{} {:?}", *INTERACTIVE, *USER);
    println!("{} {} {} {} {}", *BY_NAME, *BY_PATH, *WITHIN, *LINES, *AGAIN);
}
