//! Evidence: what a word was here, and in the proof, said for people.

/// What a word was here and there: as text if it is some, else as a number, without what is the same in both.
pub(super) fn evidence([here, there]: [u64; 2]) -> String {
    let changed = here ^ there;
    let (first, last) = (changed.trailing_zeros() / 8, 7 - (changed.leading_zeros() / 8).min(7));
    let is_text = |word: u64| {
        let bytes = word.to_le_bytes();
        let text = &bytes[first.min(7) as usize..=last.max(first.min(7)) as usize];
        text.len() > 1 && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    };
    if is_text(here) && is_text(there) {
        let text = |word: u64| {
            let bytes = word.to_le_bytes();
            let text: String =
                bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' }).collect();
            text.trim().to_owned()
        };
        return format!("`{}` here, `{}` in the proof", text(here), text(there));
    }
    let number = |word: u64| {
        // A flag is a byte; other fields have four bytes, or eight.
        let byte = |word: u64| word >> (first.min(7) * 8) & 0xff;
        let is_flag = first == last && byte(here).max(byte(there)) <= 1;
        let value = match (is_flag, first / 4 == last / 4) {
            (true, _) => byte(word),
            (false, true) => word >> (first / 4 * 32) & 0xffff_ffff,
            (false, false) => word,
        };
        if value < 1 << 31 { value.to_string() } else { format!("{value:#x}") }
    };
    format!("{} here, {} in the proof", number(here), number(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_what_they_are() {
        let text = |text: &[u8; 8]| u64::from_le_bytes(*text);
        assert_eq!(evidence([1, 0]), "1 here, 0 in the proof");
        assert_eq!(evidence([0x5555_0000_0100, 0x5555_0000_0000]), "1 here, 0 in the proof");
        assert_eq!(evidence([80 << 32 | 7, 117 << 32 | 7]), "80 here, 117 in the proof");
        assert_eq!(evidence([300, 400]), "300 here, 400 in the proof");
        assert_eq!(evidence([1 << 40, 3]), "0x10000000000 here, 3 in the proof");
        assert_eq!(evidence([text(b"/root\0\0\0"), text(b"/ebbg\0\0\0")]), "`/root` here, `/ebbg` in the proof");
    }
}
