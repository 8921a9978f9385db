//! State that roots' expressions leave behind, a case for each kind. The variable `CASE` says which: for the expressions, for
//! the constructors, and for `main`, which prints an answer that is the same with an image and without, or is not right.
//!
//! | what is left behind | where | what tells that it was done |
//! |---|---|---|
//! | hooks of `log`, `tracing`, `metrics`, `eyre`, `miette`, `color-eyre`, of panics | `hooks` | `flags` |
//! | statics of C, and blocks of its heap | `c_library` | there, and `flags` |
//! | data of shared libraries | the binary `with-library` | there |
//! | variables, working directory, umask, locale, handlers of signals, functions for the exit and for forks, limits, timers, keys, attributes | `process` | `flags` |
//! | statics that constructors change as well; registries of `inventory`, `linkme`, `ctor` | `constructors` | |
//! | objects that roots and statics share | `shared` | |
//! | child processes that were forked | `forks` | |
//! | addresses of functions of the C library | `functions` | |
//! | addresses of one process in the bytes of statics | `outside` | `flags` |
//! | values that belong to a process or a thread, or lead to themselves | `values` | |

mod c_library;
mod constructors;
#[cfg(feature = "full")]
mod database;
mod flags;
mod forks;
mod functions;
mod hooks;
mod outside;
mod process;
mod shared;
mod values;

fastboot_rt::install!();

fastboot_rt::frozen! {
    /// What every case changes state for.
    static ROOT: String = evaluate(&case());
}

/// The case that is tried.
fn case() -> String {
    fastboot_rt::input_env("CASE").map_or_else(String::new, |case| case.to_string_lossy().into_owned())
}

fn evaluate(case: &str) -> String {
    constructors::evaluate(case);
    c_library::evaluate(case);
    hooks::evaluate(case);
    outside::evaluate(case);
    #[cfg(feature = "full")]
    database::evaluate(case);
    guarded(case);
    format!("root of {case}")
}

/// Cases of two words: a flag, and what is done unless it says that it was.
fn guarded(case: &str) {
    if let Some((flag, what)) = case.split_once(' ') {
        flags::unless_done(flag, what);
    }
}

/// Changes something that is not in an image.
fn change(what: &str) {
    c_library::change(what);
    hooks::change(what);
    outside::change(what);
    process::change(what);
}

fn main() {
    let case = case();
    println!("{}", *ROOT);
    constructors::answer(&case);
    c_library::answer(&case);
    shared::answer(&case);
    forks::answer(&case);
    values::answer(&case);
    functions::answer(&case);
    outside::answer(&case);
    #[cfg(feature = "full")]
    database::answer(&case);
    if case == "hooks-used" {
        hooks::answer(&case);
    }
    // As a program does that relies on it.
    if case.contains(' ') && !case.starts_with("bare") {
        guarded(&case);
        process::answer();
        println!("{:?}", c_library::state());
        hooks::answer(&case);
    }
}
