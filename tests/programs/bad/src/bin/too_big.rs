//! A root that needs more memory than any machine has.

fastboot_rt::install!();

fastboot_rt::frozen! {
    static EVERYTHING: Vec<Vec<u8>> = {
        let mut everything = Vec::new();
        loop {
            everything.push(vec![0; 1 << 20]);
        }
    };
}

fn main() {
    println!("{}", EVERYTHING.len());
}
