//! A root whose size depends on where the executable was loaded.

fastboot_rt::install!();

static PLACE: u8 = 0;

fastboot_rt::frozen! {
    static FINE: String = "fine".to_owned();

    static SIZES: Vec<Vec<u8>> = {
        let page = (&raw const PLACE).addr() >> 12;
        (0..16).map(|bit| vec![1; 100 + (page >> bit) % 2 * 1000]).collect()
    };
}

fn main() {
    println!("{} {}", *FINE, SIZES.len());
}
