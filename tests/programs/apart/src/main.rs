//! A root that can only be evaluated by one process at a time, as the variable `APART` says: it makes a file that must not
//! be there (`file`), listens on a socket (`socket`), or has another program do something (`child`), at the place that
//! `APART_PATH` names. Prints the value.

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use witness::evaluated;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static ROOT: Vec<String> = evaluated("ROOT", || {
        let variable = |name| fastboot_rt::input_env(name).unwrap_or_default();
        let path = PathBuf::from(variable("APART_PATH"));
        match variable("APART").to_str() {
            Some("file") => {
                drop(File::create_new(&path).expect("the file is there"));
                leave(&path);
            }
            Some("socket") => {
                drop(UnixListener::bind(&path).expect("the socket is there"));
                leave(&path);
            }
            Some("child") => assert!(Command::new("mkdir").arg(&path).status().is_ok_and(|status| status.success())),
            _ => {}
        }
        if path.is_dir() {
            std::thread::sleep(Duration::from_millis(200));
            fs::remove_dir(path).expect("it can be removed");
        }
        (0..1000).map(|number| number.to_string()).collect()
    });
}

/// Takes it away again, not at once.
fn leave(path: &Path) {
    std::thread::sleep(Duration::from_millis(200));
    fs::remove_file(path).expect("it can be removed");
}

fn main() {
    println!("{}", ROOT.concat().len());
    witness::sources!(ROOT);
}
