//! Values that were built for the processor they were built on: searchers that hold the fastest code there is for it.

use aho_corasick::packed;
use memchr::memmem::Finder;
use witness::evaluated;

fastboot_rt::install!();

fastboot_rt::frozen! {
    /// Holds the address of a function for AVX2, or of one for SSE2.
    static FINDER: Finder<'static> = evaluated("FINDER", || Finder::new("needle in a haystack"));

    /// Holds a `Teddy` for AVX2, or one for SSSE3.
    static PACKED: packed::Searcher = evaluated("PACKED", || packed::Searcher::new(["needle", "hay"]).unwrap());

    /// What the standard library says.
    static DETECTED: [(&'static str, bool); 5] = evaluated("DETECTED", || {
        [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("aes", is_x86_feature_detected!("aes")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("sha", is_x86_feature_detected!("sha")),
        ]
    });

    /// And a thread of its own.
    static DETECTED_ELSEWHERE: u32 = evaluated("DETECTED_ELSEWHERE", || {
        std::thread::spawn(|| std::arch::x86_64::__cpuid(1).ecx).join().unwrap()
    });
}

fn main() {
    let text = "some straw, and a needle in a haystack of hay";
    let packed = format!("{:?}", *PACKED);
    println!("FINDER: {:?}", FINDER.find(text.as_bytes()));
    println!("PACKED: {:?}", PACKED.find(text.as_bytes()).map(|found| found.span().range()));
    eprintln!("detected {:?}", *DETECTED);
    eprintln!("avx elsewhere: {}", *DETECTED_ELSEWHERE & 1 << 28 != 0);
    eprintln!("packed: {}", if packed.contains("AVX2") { "AVX2" } else { "SSSE3" });
    witness::sources!(FINDER, PACKED, DETECTED, DETECTED_ELSEWHERE);
}
