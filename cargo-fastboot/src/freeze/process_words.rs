//! Process words: what is another one in every process, and is known by its value: numbers and times.

use super::cause::Cause;
use crate::runs::capture::Own;
use crate::runs::memory::word_at;

const WORD: u64 = 8;
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// The two halves of a word: which bits they are, and how far they are from the lowest.
const HALVES: [(u64, u32); 2] = [(u32::MAX as u64, 0), ((u32::MAX as u64) << 32, 32)];

/// What a word says of its process, if it is what differs between all processes, and the bits that say so: all of them, or one
/// half, beside which something else may stand.
pub(super) fn of_process(at: u64, values: [u64; 2], owns: [Own; 2], data: &[u8]) -> Vec<(Cause, u64)> {
    let [a, b] = owns;
    let within = |value: u64, clock: [u64; 2], unit: u64| (clock[0] / unit..=clock[1] / unit + 1).contains(&value);
    let real = |values: [u64; 2], unit| within(values[0], a.real, unit) && within(values[1], b.real, unit);
    let monotonic = |unit| within(values[0], a.monotonic, unit) && within(values[1], b.monotonic, unit);
    let mut known = Vec::new();
    for (bits, shift) in HALVES {
        let half = values.map(|value| (value & bits) >> shift);
        if half == [a.id, b.id] {
            known.push((Cause::Process, bits));
        } else if half == [a.thread, b.thread] {
            known.push((Cause::Thread, bits));
        } else if half[0] != half[1] && real(half, SECOND) {
            known.push((Cause::Clock, bits));
        }
    }
    if !known.is_empty() {
        return known;
    }
    if [1, 1000, 1_000_000].into_iter().any(|unit| real(values, unit) || monotonic(unit)) {
        return vec![(Cause::Clock, u64::MAX)];
    }
    // Seconds in one word, and nanoseconds in the word behind it.
    let Some(seconds) = at.checked_sub(WORD).and_then(|before| word_at(data, before)) else { return Vec::new() };
    let is_now = |clock: [u64; 2]| within(seconds, clock, SECOND);
    let (bits, _) = HALVES[0];
    let nanoseconds = (values[0] & bits) < SECOND && values[0] >> 32 < SECOND;
    if nanoseconds && (is_now(a.real) || is_now(a.monotonic)) { vec![(Cause::Clock, u64::MAX)] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_process_is_known_by_its_value() {
        let own = |id: u64, seconds: u64| Own {
            id,
            thread: id + 1,
            real: [seconds * SECOND, (seconds + 1) * SECOND],
            monotonic: [9 * SECOND, 10 * SECOND],
        };
        let owns = [own(700, 1_800_000_000), own(800, 1_800_000_007)];
        let of = |at, values, data: &[u64]| {
            of_process(at, values, owns, &data.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
        };
        let (lower, upper, all) = (0xffff_ffff, 0xffff_ffff << 32, u64::MAX);
        assert_eq!(of(0, [700, 800], &[700]), [(Cause::Process, lower)]);
        assert_eq!(of(0, [700 << 32 | 3, 800 << 32 | 3], &[0]), [(Cause::Process, upper)]);
        assert_eq!(of(0, [700 << 32 | 701, 800 << 32 | 801], &[0]), [(Cause::Thread, lower), (Cause::Process, upper)]);
        assert_eq!(of(0, [701, 801], &[701]), [(Cause::Thread, lower)]);
        assert_eq!(of(0, [700, 801], &[700]), []);
        assert_eq!(of(0, [1_800_000_000, 1_800_000_008], &[0]), [(Cause::Clock, lower)]);
        assert_eq!(of(0, [1 << 32 | 1_800_000_000, 1_800_000_008], &[0]), [(Cause::Clock, lower)]);
        assert_eq!(of(0, [1_800_000_000, 1_800_000_000], &[0]), [], "the same in both");
        assert_eq!(of(0, [9_100_000_000, 9_900_000_000], &[0]), [(Cause::Clock, all)]);
        assert_eq!(of(8, [17, 18], &[9, 17]), [(Cause::Clock, all)], "nanoseconds behind seconds");
        assert_eq!(of(8, [17, 18], &[2, 17]), []);
        assert_eq!(of(0, [17, 18], &[17]), []);
    }
}
