//! Roots that read files and environment variables, declared and not. The files lie in the folder that the variable
//! `INPUTS_FOLDER` names; one that is missing counts as empty. Prints what the roots read.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use witness::evaluated;

fastboot_rt::install!();

fastboot_rt::frozen! {
    /// A file and a variable.
    static DECLARED: String = evaluated("DECLARED", || {
        let word = fastboot_rt::input_env("INPUTS_DECLARED").unwrap_or_default();
        read(fastboot_rt::input(folder().join("declared.txt"))) + &word.to_string_lossy()
    });

    /// A file in a folder in a declared folder.
    static TREE: String = evaluated("TREE", || read(fastboot_rt::input(folder().join("tree")).join("deep/leaf.txt")));

    /// A file and a variable that are not declared, and the names in a folder.
    static SEEN: String = evaluated("SEEN", || {
        let word = std::env::var("INPUTS_SEEN").unwrap_or_default();
        let mut names: Vec<String> = fs::read_dir(folder().join("listed"))
            .into_iter()
            .flat_map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        format!("{}{word}{names:?}", read(folder().join("seen.txt")))
    });

    /// A file that is read on another thread.
    static THREAD: String = evaluated("THREAD", || {
        let reader = std::thread::spawn(|| read(folder().join("thread.txt")));
        reader.join().unwrap_or_default()
    });

    /// A file that is opened as C programs do.
    static C: bool = evaluated("C", || opens(&folder().join("c.txt")));

    /// What this expression itself wrote, and a file of the kernel's.
    static WRITTEN: usize = evaluated("WRITTEN", || {
        let path = folder().join("written.txt");
        let _ = fs::write(&path, "written");
        let _ = fs::read("/proc/self/status");
        read(path).len()
    });

    /// As many files as there are.
    static MANY: usize = evaluated("MANY", || {
        (0..).take_while(|number| fs::read(folder().join(format!("many {number}.txt"))).is_ok()).count()
    });
}

fn folder() -> PathBuf {
    fastboot_rt::input_env("INPUTS_FOLDER").map_or_else(PathBuf::new, PathBuf::from)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn opens(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().to_owned().into_vec()) else { return false };
    // SAFETY: two C strings.
    let file = unsafe { libc::fopen(path.as_ptr(), c"r".as_ptr()) };
    if file.is_null() {
        return false;
    }
    // SAFETY: an open file, closed once.
    unsafe { libc::fclose(file) };
    true
}

fn main() {
    println!("{}|{}|{}|{}|{}|{}|{}", *DECLARED, *TREE, *SEEN, *THREAD, *C, *WRITTEN, *MANY);
    witness::sources!(DECLARED, TREE, SEEN, THREAD, C, WRITTEN, MANY);
}
