//! Process words: what is another one in every process, and is known by its value: numbers and times.

use super::cause::Cause;
use crate::runs::capture::Own;
use crate::runs::memory::word_at;

const WORD: u64 = 8;
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// What a word says of its process, if it is what differs between all processes.
pub(super) fn of_process(at: u64, values: [u64; 2], owns: [Own; 2], data: &[u8]) -> Option<Cause> {
    let halves = [values, values.map(|value| value >> 32)].map(|half| half.map(|half| half & 0xffff_ffff));
    let [a, b] = owns;
    if halves.contains(&[a.id, b.id]) {
        return Some(Cause::Process);
    }
    if halves.contains(&[a.thread, b.thread]) {
        return Some(Cause::Thread);
    }
    let within = |value: u64, clock: [u64; 2], unit: u64| (clock[0] / unit..=clock[1] / unit + 1).contains(&value);
    let real = |unit| within(values[0], a.real, unit) && within(values[1], b.real, unit);
    let monotonic = |unit| within(values[0], a.monotonic, unit) && within(values[1], b.monotonic, unit);
    if [1, 1000, 1_000_000, SECOND].into_iter().any(real) || [1, 1000, 1_000_000].into_iter().any(monotonic) {
        return Some(Cause::Clock);
    }
    // Seconds in one word, and nanoseconds in the word behind it.
    let seconds = word_at(data, at.checked_sub(WORD)?)?;
    let is_now = |clock: [u64; 2]| within(seconds, clock, SECOND);
    let nanoseconds = halves[0].iter().all(|half| *half < SECOND);
    (nanoseconds && (is_now(a.real) || is_now(a.monotonic))).then_some(Cause::Clock)
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
        assert_eq!(of(0, [700, 800], &[700]), Some(Cause::Process));
        assert_eq!(of(0, [700 << 32 | 3, 800 << 32 | 3], &[0]), Some(Cause::Process));
        assert_eq!(of(0, [701, 801], &[701]), Some(Cause::Thread));
        assert_eq!(of(0, [700, 801], &[700]), None);
        assert_eq!(of(0, [1_800_000_000, 1_800_000_008], &[0]), Some(Cause::Clock));
        assert_eq!(of(0, [9_100_000_000, 9_900_000_000], &[0]), Some(Cause::Clock));
        assert_eq!(of(8, [17, 18], &[9, 17]), Some(Cause::Clock), "nanoseconds behind seconds");
        assert_eq!(of(8, [17, 18], &[2, 17]), None);
        assert_eq!(of(0, [17, 18], &[17]), None);
    }
}
