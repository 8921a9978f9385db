//! Answers what it is asked: by an argument, or line by line on standard input. On request its answer depends on where its
//! values came from, or on the time.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::SystemTime;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static SQUARES: BTreeMap<u64, u64> = (0..10_000).map(|number| (number, number * number)).collect();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse().unwrap_or(0_u64);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["answer", text] => println!("{:?}", SQUARES.get(&number(text))),
        ["lines"] => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).expect("standard input is text");
            text.lines().for_each(|line| println!("{:?}", SQUARES.get(&number(line))));
            eprintln!("{} lines", text.lines().count());
        }
        ["source"] => println!("one\n{}", fastboot_rt::Frozen::source(&SQUARES)),
        ["complain"] => eprintln!("{}", fastboot_rt::Frozen::source(&SQUARES)),
        ["status"] => {
            std::process::exit(i32::from(fastboot_rt::Frozen::source(&SQUARES) == fastboot_rt::Source::Section))
        }
        ["time"] => println!("{:?}", SystemTime::now()),
        _ => println!("nothing is asked"),
    }
}
