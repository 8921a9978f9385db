//! A thousand boxed closures, each with what it captured.

use crates::{answer, evaluated, word};

fastboot_rt::install!();

type Function = Box<dyn Fn(u64) -> u64 + Send + Sync>;

fastboot_rt::frozen! {
    static CLOSURES: Vec<Function> = evaluated("CLOSURES", || (0..1000).map(closure).collect()),
        check = |thawed, fresh| results(thawed) == results(fresh);
}

fn closure(number: usize) -> Function {
    let (owned, numbers) = (word(number), vec![number as u64; 3]);
    if number.is_multiple_of(2) {
        Box::new(move |argument| argument * numbers.iter().sum::<u64>() + owned.len() as u64)
    } else {
        Box::new(move |argument| owned.bytes().map(u64::from).sum::<u64>() ^ argument ^ numbers[1])
    }
}

fn results(closures: &[Function]) -> Vec<u64> {
    closures.iter().map(|closure| closure(21)).collect()
}

fn main() {
    answer("results", format_args!("{:?}", results(&CLOSURES)));
    crates::sources!(CLOSURES);
}
