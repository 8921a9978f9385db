//! A root that allocates ten gigabytes in all, piece by piece, and keeps a hundred megabytes. Prints how much of both.

use witness::evaluated;

fastboot_rt::install!();

/// What is kept, and how many bytes were allocated for it.
struct Kept {
    pieces: Vec<Vec<u64>>,
    allocated: usize,
}

fastboot_rt::frozen! {
    /// One word of a hundred.
    static KEPT: Kept = evaluated("KEPT", || {
        let mut kept = Kept { pieces: Vec::new(), allocated: 0 };
        for first in 0..100_000 {
            // Every page of it is touched.
            let temporary: Vec<u64> = (first..first + 12_500).collect();
            kept.pieces.push(temporary[..125].to_vec());
            kept.allocated += size_of_val(temporary.as_slice()) + 1000;
        }
        kept
    });
}

fn main() {
    let words: usize = KEPT.pieces.iter().map(Vec::len).sum();
    println!("{} bytes of {}, the last word {}", size_of::<u64>() * words, KEPT.allocated, KEPT.pieces[99_999][124]);
    witness::sources!(KEPT);
}
