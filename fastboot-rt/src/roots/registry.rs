//! Registry: the records of all roots in this program, side by side, as the linker collected them.

use super::record::RootRecord;

#[used]
#[unsafe(link_section = crate::__record_section!())]
static ANCHOR: RootRecord = RootRecord::anchor();

// The linker's symbols: only their addresses mean something.
#[allow(improper_ctypes)]
unsafe extern "C" {
    #[link_name = concat!("__start_", crate::__record_section!())]
    static START: RootRecord;
    #[link_name = concat!("__stop_", crate::__record_section!())]
    static STOP: RootRecord;
}

fn records() -> &'static [RootRecord] {
    let start = &raw const START;
    let stop = &raw const STOP;
    // SAFETY: the linker defines both symbols as the bounds of the output section that holds every input section
    // of that name. Only `ANCHOR` above, `frozen!` and `warm!` put something there, always one `RootRecord` (the
    // `2` in the name is the version of its layout), whose size is a multiple of its alignment: the section is an
    // array. `ANCHOR` makes sure that it exists. The records are statics and never written to.
    unsafe { core::slice::from_raw_parts(start, stop.offset_from(start) as usize) }
}

/// Every root linked into this program, in the linker's order, which is the same in every run of one binary.
pub(crate) fn all() -> impl Iterator<Item = &'static RootRecord> + Clone {
    records().iter().filter(|record| record.is_root())
}

/// What is to be warmed, in the same order.
pub(crate) fn warm_ups() -> impl Iterator<Item = &'static RootRecord> + Clone {
    records().iter().filter(|record| !record.is_root() && !record.name().is_empty())
}

/// Refers to the anchor, so that no linker drops it.
pub(crate) fn anchor() -> &'static RootRecord {
    &ANCHOR
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_linker_script_knows_the_section() {
        let script = include_str!("../../../linker/start.ld");
        let name = crate::__record_section!();
        assert!(script.contains(&format!("{name} : {{ KEEP(*({name})) }}")));
    }
}
