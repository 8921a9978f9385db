//! Write: the capture of a freeze run, once all roots are evaluated.

mod blocks;

use super::evaluated::{Clocks, Evaluated, Settings};
use super::heap::{arena, place, scratch};
use super::identity;
use super::tell::{self, string, word, write_record};
use crate::os::{cpuid_mask, headers, threads};
use crate::roots;
use blocks::{write_blocks, write_memory};
use core::ffi::CStr;
use fastboot_format::image::PAGE;
use fastboot_format::protocol::Tag;

/// Writes the capture. `false` if it cannot be written.
pub(crate) fn write_capture(settings: &Settings, evaluated: &Evaluated<'_>) -> bool {
    tell::all_evaluated(evaluated.times.len());
    let written = write_process(settings.home, evaluated.clocks)
        && write_roots(evaluated)
        && write_statics(evaluated)
        && write_allocations(settings, evaluated.left_behind)
        && write_record(Tag::End, &[]);
    if written {
        tell::done();
    }
    written
}

/// Where the texts of these environment variables are. If that cannot be written, nothing else can.
pub(crate) fn write_texts(variables: impl Iterator<Item = &'static CStr>) {
    for variable in variables {
        let Some((name, value)) = variable.to_str().ok().and_then(|text| text.split_once('=')) else { continue };
        if !value.is_empty() {
            let name = format!("the environment variable `{name}`");
            write_record(Tag::Text, &[&word(value.as_ptr().addr() as u64), &string(&name)]);
        }
    }
}

/// What is known of the process.
fn write_process(home: usize, [began, ended]: [Clocks; 2]) -> bool {
    let base = headers::program_headers().map_or(0, |(_, base)| base);
    write_record(
        Tag::Process,
        &[
            &word(base as u64),
            &word(headers::executable_end() as u64),
            &word(cpuid_mask::visible_features() as u64),
            &word((cpuid_mask::visible_features() >> 64) as u64),
            &word(home as u64),
            &word(roots::warm_ups().count() as u64),
            &word(headers::thread_locals().start as u64),
            &word(most_memory()),
            &word(u64::from(had_children())),
            &word(scratch::live() as u64),
            &word(u64::from(std::process::id())),
            &word(threads::thread_id() as u64),
            &word(began.real),
            &word(ended.real),
            &word(began.monotonic),
            &word(ended.monotonic),
        ],
    )
}

/// The roots, how long each took, and how much memory there was then.
fn write_roots(&Evaluated { times, ends, .. }: &Evaluated<'_>) -> bool {
    let mut written = true;
    for ((record, time), end) in roots::all().zip(times).zip(ends) {
        let place = record.place();
        written &= write_record(
            Tag::Root,
            &[
                &word(record.value().addr() as u64),
                &word(record.size() as u64),
                &word(record.align() as u64),
                &word(place.start as u64),
                &word(place.end as u64),
                &word(*time),
                &word(*end as u64),
                &string(record.name()),
                &string(record.type_name()),
            ],
        );
    }
    written
}

/// What statics held, before and after; and what of C's heap is in use.
fn write_statics(&Evaluated { before, after, own, c_blocks, .. }: &Evaluated<'_>) -> bool {
    let mut written = true;
    for (tag, copies) in [(Tag::Before, before), (Tag::After, after)] {
        for (address, bytes) in &copies.statics {
            written &= write_record(tag, &[&word(*address as u64), bytes]);
        }
    }
    let (address, protected) = headers::copy_protected();
    written &= write_record(Tag::Protected, &[&word(address as u64), &protected]);
    let [(address, before), (_, after)] = [&before.thread_locals, &after.thread_locals];
    written &= write_record(Tag::ThreadLocals, &[&word(*address as u64), &word(before.len() as u64), before, after]);
    let own: Vec<u8> = own.iter().flat_map(|range| [range.start, range.end - range.start]).flat_map(word).collect();
    written &= write_record(Tag::OwnChanges, &[&own]);
    for (root, (address, size)) in c_blocks {
        written &= write_record(Tag::CBlock, &[&string(root), &word(*address), &word(*size)]);
    }
    for (site, answer) in cpuid_mask::noted() {
        let [eax, ebx, ecx, edx] = answer.bits;
        let words = [answer.leaf, answer.subleaf, eax, ebx, ecx, edx].map(|part| word(u64::from(part)));
        let payload: Vec<u8> = word(site as u64).into_iter().chain(words.into_iter().flatten()).collect();
        written &= write_record(Tag::Asked, &[&payload]);
    }
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps") {
        written &= write_record(Tag::Maps, &[&string(&maps)]);
    }
    written
}

/// What was allocated.
fn write_allocations(settings: &Settings, left_behind: bool) -> bool {
    let mut written = write_record(Tag::Counts, &place::counts().map(word).each_ref().map(|count| &count[..]));
    for (thread, log) in identity::threads() {
        let log: Vec<u8> = log.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()).collect();
        written &= write_record(Tag::Thread, &[&word(thread.key), &word(thread.handle()), &log]);
    }
    written &= write_blocks(settings, left_behind);
    written && (settings.planning || write_memory(settings.home + PAGE..arena::end(), left_behind))
}

/// Most bytes of memory that this process ever had at once; more than any machine has if that is not known.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map_or(u64::MAX, |kilobytes: u64| kilobytes.saturating_mul(1024))
}

/// Whether this process waited for child processes: then it has counted their page faults.
fn had_children() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name of the executable, in parentheses: the state, and seven fields before this one, `cminflt`.
    let faults = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(8));
    faults.is_none_or(|faults| faults != "0")
}
