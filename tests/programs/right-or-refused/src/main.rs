//! State that roots' expressions leave behind, a case for each kind. The variable `CASE` says which: for the expressions, for
//! the constructors, and for `main`, which prints an answer that is the same with an image and without, or is not right.

mod c_library;
mod constructors;
mod process;
mod shared;

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
    process::evaluate(case);
    format!("root of {case}")
}

fn main() {
    let case = case();
    println!("{}", *ROOT);
    constructors::answer(&case);
    c_library::answer(&case);
    process::answer(&case);
    shared::answer(&case);
}
