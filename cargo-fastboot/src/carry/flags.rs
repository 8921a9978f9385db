//! Flags: small statics that may say that something was done.
//!
//! ```text
//! INIT.call_once(|| engine_init())     INIT travels, what engine_init did does not: the program would never do it again
//! ```
//!
//! Which flag belongs to what nobody knows. So if anything was done that does not travel (see `changes`), every
//! flag counts.

use super::attribute::Static;
use super::policy;
use crate::runs::capture::Mapping;

/// The longest static that is a flag whatever it holds, in bytes: two words.
const LONGEST: u64 = 16;
/// The longest one that is if a `Once` in it was completed.
const LONGEST_WITH_ONCE: u64 = 64;
/// What a `Once` of the standard library is before its call, and after it, as `u32`. The other way around in older ones.
const ONCE: [[u8; 4]; 2] = [[3, 0, 0, 0], [0, 0, 0, 0]];

/// How many of the lowest bytes of a function's address a small value overwrites that a `LazyLock` puts in its place.
const OVERWRITTEN: u64 = 1 << 16;

/// Whether a state became that of a `Once` after its call.
fn is_completed((before, after): (&[u8; 4], &[u8; 4])) -> bool {
    before != after && ONCE.contains(before) && ONCE.contains(after)
}

/// Whether nothing happened to these bytes but that a `Once` in them was completed.
pub(super) fn is_completion(before: &[u8], after: &[u8]) -> bool {
    let (states, rest) = (before.as_chunks::<4>(), after.as_chunks::<4>());
    let mut pairs = states.0.iter().zip(rest.0);
    states.1 == rest.1 && pairs.all(|pair| pair.0 == pair.1 || is_completed(pair))
}

/// Whether a carried static looks like a flag: it is small, and nothing that it was given is an address. `is_number` says of the
/// word at an address whether it is known to be none, whatever it looks like.
pub(super) fn is_flag(
    one: &Static,
    length: u64,
    (before, after): (&[u8], &[u8]),
    maps: &[Mapping],
    is_number: &impl Fn(u64, u64) -> bool,
) -> bool {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let mapping = |address: u64| maps.iter().find(|mapping| mapping.range.contains(&address));
    // A `LazyLock` without a value, or with a small one, keeps the function that made it, or what is left of its address.
    let is_left = |before: u64, after: u64| {
        before == after || before ^ after < OVERWRITTEN && mapping(before).is_some_and(|mapping| mapping.executable)
    };
    let words = before.as_chunks::<8>().0.iter().map(word).zip(after.as_chunks::<8>().0.iter().map(word));
    let is_address = |at: u64, word: u64| mapping(word).is_some() && !is_number(at, word);
    let has_address = words
        .zip((one.address..).step_by(8))
        .any(|((before, after), at)| !is_left(before, after) && is_address(at, after));
    let completed = || {
        let states = before.as_chunks::<4>().0.iter().zip(after.as_chunks::<4>().0);
        states.into_iter().any(is_completed)
    };
    let is_small = length <= LONGEST || length <= LONGEST_WITH_ONCE && completed();
    // What is carried by a rule says nothing of the kind.
    let by_rule = one.is_cpu_cache() || policy::travels(&one.name).is_some();
    let is_harmless = !one.own && one.crate_name.as_deref().is_some_and(policy::has_harmless_flags);
    is_small && !has_address && !by_rule && !is_harmless
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges with one")]
mod tests {
    use super::*;
    use crate::carry::decide::Decision;

    const CODE: u64 = 0x5555_0000_1000;

    fn check(name: &str, before: &[u8], after: &[u8]) -> bool {
        let crate_name = name.split("::").next().map(str::to_owned);
        let one = Static {
            name: name.to_owned(),
            crate_name,
            address: 0x1000,
            size: after.len() as u64,
            changed: vec![0x1000..0x1000 + after.len() as u64],
            decision: Decision::Carry("state".into()),
            chosen: false,
            constructed: false,
            of_c: false,
            own: false,
            part_of: None,
        };
        let mapping = |range, executable| Mapping { range, executable, offset: 0, name: String::new() };
        let maps = [mapping(CODE..CODE + 0x1000, true), mapping(0x7000..0x8000, false)];
        let is_number = |at: u64, word: u64| at == 0x1000 && word == CODE + 0x77;
        is_flag(&one, one.size, (before, after), &maps, &is_number)
    }

    #[test]
    fn small_numbers_are_flags_and_addresses_are_not() {
        assert!(check("app::ONCE", &[3, 0, 0, 0], &[0; 4]));
        assert!(check("app::DONE", &[0], &[1]));
        assert!(check("app::PAIR", &[0; 16], &[1; 16]));
        assert!(!check("app::LIST", &[0; 8], &0x7010_u64.to_le_bytes()));
        assert!(!check("app::TABLE", &[0; 24], &[1; 24]));
        assert!(!check("foldhash::SEED", &[0; 8], &[1; 8]));
        assert!(!check("app::CALL", &[0; 8], &(CODE + 0x70).to_le_bytes()));
        assert!(check("app::COUNT", &[0; 8], &(CODE + 0x77).to_le_bytes()), "known to be a number");
    }

    #[test]
    fn a_completion_is_that_and_no_number() {
        assert!(is_completion(&[3, 0, 0, 0, 7, 0, 0, 0], &[0, 0, 0, 0, 7, 0, 0, 0]));
        assert!(!is_completion(&[3, 0, 0, 0, 7, 0, 0, 0], &[0, 0, 0, 0, 8, 0, 0, 0]));
        assert!(!is_completion(&[0; 8], &[1, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn what_is_left_of_a_lazy_ones_function_is_no_address() {
        let lazy = |function: u64, state: u64| [function.to_le_bytes(), state.to_le_bytes()].concat();
        assert!(check("app::LAZY", &lazy(CODE + 0x10, 3), &lazy(CODE + 0x10, 0)), "no value");
        assert!(check("app::LAZY", &lazy(CODE + 0x10, 3), &lazy(CODE + 1, 0)), "a byte");
        assert!(!check("app::LAZY", &lazy(CODE + 0x10, 3), &lazy(0x7010, 0)), "a value on the heap");
    }

    #[test]
    fn a_longer_static_is_a_flag_if_a_once_in_it_was_completed() {
        let (before, after) = ([[3, 0, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8]].concat(), [[0; 8], [1; 8], [0; 8]].concat());
        assert!(check("app::CELL", &before, &after));
        let long = vec![0; 64];
        assert!(!check("app::CELL", &[before, long.clone()].concat(), &[after, long].concat()));
    }
}
