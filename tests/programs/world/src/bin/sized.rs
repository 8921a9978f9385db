//! A value that with the features of a level is neither what it is with all of them nor as large.

fastboot_rt::install!();

fn level() -> u64 {
    if is_x86_feature_detected!("aes") {
        3
    } else if is_x86_feature_detected!("avx2") {
        2
    } else {
        1
    }
}

fastboot_rt::frozen! {
    static SIZED: (u64, Vec<u8>) = (level(), vec![7; if level() == 2 { 4096 } else { 16 }]);
}

fn main() {
    println!("{} {}", SIZED.0, SIZED.1.len());
}
