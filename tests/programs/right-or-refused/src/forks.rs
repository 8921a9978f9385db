//! Child processes that an expression forks: they have a copy of everything, and none of what they do is in the image.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

static CHANGED: AtomicUsize = AtomicUsize::new(0);
static NAMES: Mutex<BTreeMap<usize, String>> = Mutex::new(BTreeMap::new());

fastboot_rt::frozen! {
    /// What children said, and what the parent made before and after.
    static FAMILY: Vec<String> = family(&crate::case());
}

/// What a child says and how it ends.
#[derive(Clone, Copy)]
enum End {
    AtOnce,
    WithDestructors,
    Panics,
    Aborts,
}

fn family(case: &str) -> Vec<String> {
    let mut all: Vec<String> = (0..100).map(|n| format!("before {n}")).collect();
    match case {
        "fork" => all.push(fork(End::AtOnce)),
        "fork-exits" => all.push(fork(End::WithDestructors)),
        "fork-panics" => all.push(fork(End::Panics)),
        "fork-aborts" => all.push(fork(End::Aborts)),
        "fork-many" => all.extend((0..8).map(|_| fork(End::AtOnce))),
        "fork-beside-threads" => beside_threads(&mut all),
        "fork-by-command" => {
            let output = std::process::Command::new("/bin/echo").arg("a child").output().unwrap();
            all.push(String::from_utf8(output.stdout).unwrap());
        }
        "broken-pipe" => {
            // What a child that has ended already is told. It ends a process that does not ignore the signal for it.
            let (reader, mut writer) = std::io::pipe().unwrap();
            drop(reader);
            all.push(format!("{:?}", writer.write_all(b"nobody reads it").map_err(|error| error.kind())));
        }
        _ => return Vec::new(),
    }
    all.extend((0..100).map(|n| format!("after {n}")));
    all
}

/// Forks a child that allocates and changes statics, and returns what it said, and how it ended.
fn fork(end: End) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child uses nothing but memory, the allocator, whose locks open again in a child, and the pipe.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        drop(reader);
        speak(writer.into(), end);
    }
    drop(writer);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    let mut status = 0;
    // SAFETY: the child is this process's own, and the status has room.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    format!("{said}, ended with {}, {} here", libc::WEXITSTATUS(status), CHANGED.load(Ordering::Relaxed))
}

fn speak(writer: OwnedFd, end: End) -> ! {
    let words: Vec<String> = (0..20_000).map(|n| format!("word {n} of the child")).collect();
    CHANGED.fetch_add(words.len(), Ordering::Relaxed);
    let mut names = NAMES.lock().unwrap();
    names.extend(words.iter().cloned().enumerate());
    let said = format!("{} names", names.len());
    drop((names, words));
    let mut writer = std::fs::File::from(writer);
    writer.write_all(said.as_bytes()).unwrap();
    drop(writer);
    match end {
        // SAFETY: ends the process.
        End::AtOnce => unsafe { libc::_exit(3) },
        End::WithDestructors => std::process::exit(4),
        End::Panics => {
            _ = std::panic::catch_unwind(|| panic!("a child's"));
            // SAFETY: ends the process.
            unsafe { libc::_exit(5) }
        }
        // SAFETY: a limit of this process: it is to leave no file behind.
        End::Aborts => unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
            std::process::abort()
        },
    }
}

/// Forks while other threads allocate, and so have the locks of the allocator again and again.
fn beside_threads(all: &mut Vec<String>) {
    const ROUNDS: usize = 100_000;
    let allocate = || (0..ROUNDS).filter(|n| !std::hint::black_box(n.to_string()).is_empty()).count();
    std::thread::scope(|scope| {
        let threads = [scope.spawn(allocate), scope.spawn(allocate)];
        all.extend((0..4).map(|_| fork(End::AtOnce)));
        all.extend(threads.map(|thread| thread.join().unwrap().to_string()));
    });
}

pub(crate) fn answer(case: &str) {
    if case.starts_with("fork") {
        println!("{:?}", *FAMILY);
        println!("{} {}", NAMES.lock().unwrap().len(), CHANGED.load(Ordering::Relaxed));
    }
}
