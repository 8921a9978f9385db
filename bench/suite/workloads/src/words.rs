//! Made-up words.

const SYLLABLES: [&str; 64] = [
    "ba", "be", "bi", "bo", "da", "de", "di", "do", "fa", "fe", "fi", "fo", "ga", "ge", "gi", "go", "ka", "ke", "ki",
    "ko", "la", "le", "li", "lo", "ma", "me", "mi", "mo", "na", "ne", "ni", "no", "pa", "pe", "pi", "po", "ra", "re",
    "ri", "ro", "sa", "se", "si", "so", "ta", "te", "ti", "to", "va", "ve", "vi", "vo", "wa", "we", "wi", "wo", "xa",
    "xe", "xi", "xo", "za", "ze", "zi", "zo",
];

/// Word number `index`, of twelve letters. The words of the first 2^32 numbers are all different.
pub fn word(index: usize) -> String {
    // An odd factor: a number for each number, and near ones far from each other.
    let mut bits = u64::from((index as u32).wrapping_mul(0x85eb_ca6b));
    let mut word = String::with_capacity(12);
    for _ in 0..6 {
        word.push_str(SYLLABLES[(bits % 64) as usize]);
        bits /= 64;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_are_different() {
        let words: std::collections::HashSet<String> = (0..300_000).map(word).collect();
        assert_eq!(words.len(), 300_000);
    }
}
