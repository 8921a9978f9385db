//! What is mapped in this process, and what stands there.

use core::ops::Range;
use fastboot_format::image::chunks;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// A line of `/proc/self/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) range: Range<u64>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
    /// Path of the file, `[heap]` and the like, or nothing.
    pub(super) name: String,
}

/// All of them, by ascending address.
pub(super) fn areas() -> Vec<Area> {
    fs::read_to_string("/proc/self/maps").unwrap_or_default().lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Area> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    Some(Area {
        range: number(start)?..number(end)?,
        readable: permissions.starts_with('r'),
        writable: permissions.starts_with("rw") && permissions.ends_with('p'),
        executable: permissions.contains('x'),
        name: fields.nth(3).unwrap_or_default().trim_start().to_owned(),
    })
}

/// Where a writable part of a file's data lies, and behind it what the file does not have, `.bss`.
pub(super) fn with_bss(areas: &[Area], index: usize) -> impl Iterator<Item = &Range<u64>> {
    let area = areas.get(index);
    let rest = areas.get(index + 1);
    let rest = rest.filter(|rest| {
        rest.writable && rest.name.is_empty() && Some(rest.range.start) == area.map(|area| area.range.end)
    });
    [area, rest].into_iter().flatten().map(|area| &area.range)
}

/// Memory that was copied: its address, and the bytes.
pub(super) type Copy = (u64, Vec<u8>);

/// Copies a range, through `/proc`: what another thread unmaps meanwhile is no fault then.
pub(super) fn copy(memory: &File, range: &Range<u64>) -> Option<Copy> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
    memory.read_exact_at(&mut bytes, range.start).ok()?;
    Some((range.start, bytes))
}

/// Whether all of `range` can be read.
pub(super) fn is_readable(areas: &[Area], range: &Range<u64>) -> bool {
    let shared = |area: &Area| area.range.end.min(range.end).saturating_sub(area.range.start.max(range.start));
    areas.iter().filter(|area| area.readable).map(shared).sum::<u64>() == range.end - range.start
}

/// Whether some of `range` can be executed, and some cannot.
pub(super) fn is_partly_executable(areas: &[Area], range: &Range<u64>) -> bool {
    let within = areas.iter().filter(|area| area.range.start < range.end && range.start < area.range.end);
    within.clone().any(|area| area.executable) && within.clone().any(|area| !area.executable)
}

/// The memory of this process.
pub(super) fn memory() -> Option<File> {
    File::open("/proc/self/mem").ok()
}

/// The words of some bytes.
pub(super) fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> {
    chunks(bytes).map(|word| u64::from_le_bytes(*word))
}

/// Whether an address is one of code.
pub(super) fn is_code(areas: &[Area], address: u64) -> bool {
    areas.iter().any(|area| area.executable && area.range.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let area = parse("7f00-7f10 rw-p 00000000 fe:00 123                        /usr/lib/my lib.so").unwrap();
        let name = "/usr/lib/my lib.so".to_owned();
        let expected = Area { range: 0x7f00..0x7f10, readable: true, writable: true, executable: false, name };
        assert_eq!(area, expected);
        assert_eq!(
            parse("7f00-7f10 rw-s 00000000 00:00 0 ").map(|area| (area.writable, area.name)),
            Some((false, String::new()))
        );
        assert_eq!(parse("nothing"), None);
    }

    #[test]
    fn memory_that_is_protected_or_not_there_is_not_readable() {
        let areas: Vec<Area> = ["10-20 rw-p 0 0:0 0", "20-30 ---p 0 0:0 0", "30-40 r--p 0 0:0 0", "50-60 rw-p 0 0:0 0"]
            .map(|line| parse(line).unwrap())
            .into();
        for (range, readable) in
            [(0x10..0x20, true), (0x14..0x18, true), (0x18..0x28, false), (0x30..0x58, false), (0..0, true)]
        {
            assert_eq!(is_readable(&areas, &range), readable, "{range:x?}");
        }
    }

    #[test]
    fn memory_of_which_a_part_is_code() {
        let maps = ["1000-2000 rw-p 0 0:0 0", "2000-3000 r-xp 0 0:0 0", "3000-4000 rwxp 0 0:0 0"];
        let areas: Vec<Area> = maps.iter().filter_map(|line| parse(line)).collect();
        for (range, partly) in
            [(0x1000..0x2000, false), (0x1000..0x2001, true), (0x2000..0x4000, false), (0..0x9000, true)]
        {
            assert_eq!(is_partly_executable(&areas, &range), partly, "{range:x?}");
        }
    }

    #[test]
    fn own_memory_can_be_copied() {
        let own = [1u8, 2, 3];
        let start = own.as_ptr().addr() as u64;
        assert_eq!(copy(&memory().unwrap(), &(start..start + 3)).unwrap().1, own);
    }
}
