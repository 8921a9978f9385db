//! Answers: what the instruction `cpuid` has to answer besides the features that have names.

use super::bytes::{Reader, Writer, chunks};
use super::layout::ANSWER_LEN;

/// Bits that `cpuid` answered where the image was made, and that the values may depend on: code asked for what holds them, and
/// no feature that is known has any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// What it is asked: EAX.
    pub leaf: u32,
    /// And ECX.
    pub subleaf: u32,
    /// The bits in EAX, EBX, ECX and EDX. There may be others.
    pub bits: [u32; 4],
}

impl Answer {
    /// The entry, encoded.
    pub fn encode(&self) -> [u8; ANSWER_LEN] {
        let [eax, ebx, ecx, edx] = self.bits.map(u32::to_le_bytes);
        let writer = Writer::<ANSWER_LEN>::new().put(&self.leaf.to_le_bytes()).put(&self.subleaf.to_le_bytes());
        writer.put(&eax).put(&ebx).put(&ecx).put(&edx).finish()
    }

    /// These bits without those that another answer has.
    #[must_use]
    pub fn without(&self, there: [u32; 4]) -> Self {
        let [eax, ebx, ecx, edx] = self.bits;
        let bits = [eax & !there[0], ebx & !there[1], ecx & !there[2], edx & !there[3]];
        Self { bits, ..*self }
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.bits == [0; 4]
    }
}

impl core::fmt::Display for Answer {
    /// Such as `cpuid 0x7.0 ebx 0x800`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "cpuid {:#x}.{}", self.leaf, self.subleaf)?;
        for (name, bits) in ["eax", "ebx", "ecx", "edx"].into_iter().zip(self.bits).filter(|(_, bits)| *bits != 0) {
            write!(f, " {name} {bits:#x}")?;
        }
        Ok(())
    }
}

/// The entries of the table of answers.
pub fn answers(table: &[u8]) -> impl Iterator<Item = Answer> + use<'_> {
    chunks::<ANSWER_LEN>(table).filter_map(|entry| {
        let mut r = Reader { rest: entry };
        let (leaf, subleaf) = (r.u32()?, r.u32()?);
        Some(Answer { leaf, subleaf, bits: [r.u32()?, r.u32()?, r.u32()?, r.u32()?] })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn answers_survive_the_journey() {
        let all = [
            Answer { leaf: 7, subleaf: 2, bits: [0, 0x800, 0, 5] },
            Answer { leaf: 1, subleaf: 0, bits: [1, 2, 3, 4] },
        ];
        let (_, table) = crate::image::write::answers(&all);
        assert!(answers(&table).eq(all));
        assert_eq!(all[0].to_string(), "cpuid 0x7.2 ebx 0x800 edx 0x5");
        assert_eq!(all[1].without([1, 0, 1, 7]).bits, [0, 2, 2, 0]);
        assert!(all[0].without([u32::MAX; 4]).is_empty() && !all[0].is_empty());
    }
}
