//! Searchers that hold the fastest code that there is for the processor.

use aho_corasick::packed;
use memchr::memmem::Finder;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static FINDER: Finder<'static> = Finder::new("needle in a haystack");
    static PACKED: packed::Searcher = packed::Searcher::new(["needle", "hay"]).unwrap();
    static WORDS: Vec<String> = ["one", "two"].map(str::to_owned).to_vec();
}

fn main() {
    let text = "some straw, and a needle in a haystack of hay";
    println!("{:?}", FINDER.find(text.as_bytes()));
    println!("{:?}", PACKED.find(text.as_bytes()).map(|found| found.span().range()));
    println!("{:?}", *WORDS);
}
