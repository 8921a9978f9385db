//! Answers from a table that is there when the program starts.

use std::collections::HashMap;
use std::process::ExitCode;

fastboot_rt::install!(); // once, in the binary

fastboot_rt::frozen! {
    /// The capital of each country.
    static CAPITALS: HashMap<String, String> = read_capitals();
}

/// Runs when `cargo fastboot build` builds the program, in the folder of the package. In a program that plain
/// `cargo build` made it runs when the table is first needed.
fn read_capitals() -> HashMap<String, String> {
    // Declared, so that the program is frozen again when the file has changed.
    let file = fastboot_rt::input("data/capitals.txt");
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => panic!("cannot read {file}: {error}"),
    };
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let owned = lines.map(|(country, capital)| (country.to_owned(), capital.to_owned()));
    owned.collect()
}

fn main() -> ExitCode {
    let Some(country) = std::env::args().nth(1) else {
        println!("the capitals of {} countries; name one", CAPITALS.len());
        return ExitCode::SUCCESS;
    };
    match CAPITALS.get(&country) {
        Some(capital) => {
            println!("{capital}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("no capital of `{country}` in data/capitals.txt");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CAPITALS;

    #[test]
    fn capitals_are_found() {
        assert_eq!(CAPITALS.get("France").map(String::as_str), Some("Paris"));
        assert_eq!(CAPITALS.get("no country"), None);
    }
}
