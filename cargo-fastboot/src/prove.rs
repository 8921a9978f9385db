//! Prove: which words of an image are addresses inside the executable.
//!
//! A position-independent executable is loaded somewhere else in every run, so two freeze runs are compared, word by
//! word. Both have their arena at the same home address. A word is a *static pointer* if it lies inside the executable
//! in the first run **and** differs in the second by exactly the distance between the two load addresses. A word that is
//! the same in both runs is data, whatever it looks like. Nothing is concluded from a range alone.

use anyhow::{Result, bail};
use std::ops::Range;

/// What the comparison of two freeze runs says of their image data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Offsets in the data of the words that move with the executable, ascending.
    pub(crate) static_pointers: Vec<u64>,
    /// Words that differ but are no addresses: clocks, random numbers, addresses of things that are gone.
    pub(crate) nondeterministic: u64,
}

/// One of the two runs: its memory and where its executable was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) exe_base: u64,
    pub(crate) exe_end: u64,
}

const WORD: usize = 8;

impl Run<'_> {
    fn word(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.data.get(at..)?.first_chunk()?))
    }

    /// Inside the executable, or one past its end.
    fn in_executable(&self, address: u64) -> bool {
        self.exe_base <= address && address <= self.exe_end
    }
}

/// Compares two runs of one position-independent binary.
///
/// # Errors
/// If the runs are not comparable, or a word cannot be explained and may be a static pointer.
pub(crate) fn static_pointers(first: Run<'_>, second: Run<'_>) -> Result<Proof> {
    if first.data.len() != second.data.len() {
        bail!(
            "two freeze runs of this position-independent binary came out differently: {} bytes, then {} bytes; \
             which words are addresses can only be told when both runs allocate the same. \
             Look for randomness, clocks or threads in the roots' expressions, or build without --pie",
            first.data.len(),
            second.data.len()
        );
    }
    let slide = second.exe_base.wrapping_sub(first.exe_base);
    if slide == 0 {
        bail!("both freeze runs had the executable at {:#x}: the system does not randomise addresses", first.exe_base);
    }
    let moves = |at: usize| {
        let words = first.word(at).zip(second.word(at));
        words.is_some_and(|(a, b)| first.in_executable(a) && b.wrapping_sub(a) == slide)
    };

    let mut proof = Proof::default();
    let mut unexplained = Vec::new();
    let pairs = first.data.chunks(WORD).zip(second.data.chunks(WORD));
    for (index, _) in pairs.enumerate().filter(|(_, (a, b))| a != b) {
        let at = index * WORD;
        if moves(at) {
            proof.static_pointers.push(at as u64);
        } else {
            unexplained.push(at);
        }
    }
    // Packed structs hold words that are not aligned.
    let mut unaligned = Vec::new();
    for &at in &unexplained {
        let window = at.saturating_sub(WORD - 1)..at + WORD;
        unaligned.extend(window.filter(|start| start % WORD != 0 && moves(*start)).map(|start| start as u64));
    }
    unaligned.sort_unstable();
    unaligned.dedup();
    for at in unexplained {
        let explained = (at..(at + WORD).min(first.data.len())).all(|byte| {
            let covers = |start: &u64| (*start..*start + WORD as u64).contains(&(byte as u64));
            first.data[byte] == second.data[byte] || unaligned.iter().any(covers)
        });
        if explained {
            continue;
        }
        let window: Range<usize> = at.saturating_sub(WORD - 1)..at + WORD;
        let address = |run: Run<'_>| {
            let mut words = window.clone().filter_map(|start| run.word(start));
            words.find(|word| run.in_executable(*word))
        };
        if let (Some(a), Some(_)) | (Some(a), None) | (None, Some(a)) = (address(first), address(second)) {
            bail!(
                "the word at offset {at:#x} of the image data held an address of the executable ({a:#x}) in one freeze \
                 run and something else in the other, so static pointers cannot be told from data. \
                 Look for randomness in the roots' expressions (a randomly seeded map that holds `&'static` \
                 references or functions), or build without --pie"
            );
        }
        proof.nondeterministic += 1;
    }
    proof.static_pointers.extend(unaligned);
    proof.static_pointers.sort_unstable();
    Ok(proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u64 = 0x5555_5555_4000;
    const SECOND: u64 = 0x5632_1234_5000;

    fn runs(first: &[u8], second: &[u8]) -> Result<Proof> {
        static_pointers(
            Run { data: first, exe_base: FIRST, exe_end: FIRST + 0x10_0000 },
            Run { data: second, exe_base: SECOND, exe_end: SECOND + 0x10_0000 },
        )
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn what_moves_with_the_executable_is_a_pointer() {
        let proof = runs(&words(&[1, FIRST + 16, 7]), &words(&[1, SECOND + 16, 7])).unwrap();
        assert_eq!(proof, Proof { static_pointers: vec![8], nondeterministic: 0 });
    }

    #[test]
    fn text_that_looks_like_an_address_is_data() {
        let text = u64::from_le_bytes(*b"GAUUUU\0\0");
        assert!((FIRST..FIRST + 0x10_0000).contains(&text), "the example is a valid PIE address");
        assert_eq!(runs(&words(&[text]), &words(&[text])).unwrap(), Proof::default());
    }

    #[test]
    fn random_numbers_are_data() {
        let proof = runs(&words(&[0x1234_5678_9abc_def0]), &words(&[0x0fed_cba9_8765_4321])).unwrap();
        assert_eq!(proof, Proof { static_pointers: vec![], nondeterministic: 1 });
    }

    #[test]
    fn unaligned_pointers_are_found() {
        for shift in 1..8 {
            let mut first = vec![0xaa; shift];
            let mut second = first.clone();
            first.extend_from_slice(&(FIRST + 0x123).to_le_bytes());
            second.extend_from_slice(&(SECOND + 0x123).to_le_bytes());
            first.resize(24, 0xbb);
            second.resize(24, 0xbb);
            let proof = runs(&first, &second).unwrap();
            assert_eq!(proof, Proof { static_pointers: vec![shift as u64], nondeterministic: 0 }, "shift {shift}");
        }
    }

    #[test]
    fn a_pointer_that_stood_elsewhere_is_an_error() {
        let error = runs(&words(&[FIRST + 16, 5]), &words(&[5, SECOND + 16])).unwrap_err();
        assert!(error.to_string().contains("--pie"), "{error}");
    }

    #[test]
    fn runs_of_different_length_are_an_error() {
        assert!(runs(&words(&[1, 2]), &words(&[1])).is_err());
    }
}
