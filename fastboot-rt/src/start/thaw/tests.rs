//! Thaws of a small snapshot in this very process, whole, damaged and cut at every length.

use super::*;
use crate::os::{headers, memory};
use crate::start::snapshot::Location;
use core::ptr;
use fastboot_format::image::{
    Answer, Bound, Carried, DEFAULT_HOME, FLAG_READ_ONLY, FLAG_RELOCATABLE, HEADER_LEN, HOME_STEP, PAGE, TABLE_LEN,
    Table, encode_relocations,
};
use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const IDENTITY: [u8; 32] = [7; 32];
/// Length in bytes of the image.
const LENGTH: usize = 3 * PAGE;
/// A word that points at the one before it, and where it is in the image.
const POINTER: (u64, usize) = (DEFAULT_HOME + 5000, 5008);
/// What the carried static holds in the image, and where.
const CARRIED: (u64, usize) = (0x1234_5678, 5016);

/// Where the image has what the dynamic linker put into [`BOUND`]: no multiple of eight.
const BOUND_AT: usize = 5033;

/// The dynamic linker writes to it, so to speak.
static BOUND: AtomicU64 = AtomicU64::new(SYMBOL);
const SYMBOL: u64 = 0x7f12_3456_7890;

/// What the image carries. This program has no roots.
static STATIC: AtomicU64 = AtomicU64::new(0);

/// The tests share the home address.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn program() -> Program {
    let (_, exe_base) = headers::program_headers().unwrap();
    Program::without_section(exe_base)
}

/// Part of an image: a table, or, without a kind, header and directory.
type Part = (Option<TableKind>, Range<usize>);

/// An image, and where in it its parts are.
fn image(flags: u64) -> (Vec<u8>, Vec<Part>) {
    image_for(flags, [0; 4])
}

/// The same, for processors that answer with these bits.
fn image_for(flags: u64, bits: [u32; 4]) -> (Vec<u8>, Vec<Part>) {
    let program = program();
    let mut pointers = Vec::new();
    encode_relocations([POINTER.1 as u64], PAGE as u64, |byte| pointers.push(byte));
    let address = (&raw const STATIC).addr() - program.exe_base;
    let place = (&raw const BOUND).addr() - program.exe_base;
    let carried = Carried { address: address as u64, length: 8, offset: CARRIED.1 as u64 };
    let contents = [
        (TableKind::Carried, carried.encode().to_vec()),
        (TableKind::ImagePointers, pointers),
        (TableKind::PageDigests, vec![0; 16]),
        (TableKind::BoundPointers, Bound { offset: BOUND_AT as u64, place: place as u64 }.encode().to_vec()),
        (TableKind::Answers, Answer { leaf: 1, subleaf: 0, bits }.encode().to_vec()),
    ];
    let mut bytes = vec![0; LENGTH];
    for (word, at) in [POINTER, CARRIED] {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    let mut checked = vec![(None, 0..HEADER_LEN + contents.len() * TABLE_LEN)];
    let mut directory = Vec::new();
    let mut at = 320;
    for (kind, content) in &contents {
        let (offset, length) = (at as u64, content.len() as u64);
        directory.extend_from_slice(&Table { kind: *kind, offset, length, digest: format::digest(content) }.encode());
        bytes[at..at + content.len()].copy_from_slice(content);
        checked.push((Some(*kind), at..at + content.len()));
        at = (at + content.len()).next_multiple_of(8);
    }
    let header = Header {
        page_size: PAGE as u32,
        flags: flags | FLAG_PIE,
        home: DEFAULT_HOME,
        length: LENGTH as u64,
        exe_base: program.exe_base as u64,
        cpu: 0,
        cpu_more: 0,
        table_count: contents.len() as u32,
        root_count: 0,
        identity: IDENTITY,
        data_offset: PAGE as u64,
        data_length: 2000,
    };
    bytes[HEADER_LEN..HEADER_LEN + directory.len()].copy_from_slice(&directory);
    bytes[..HEADER_LEN].copy_from_slice(&header.encode(&directory));
    (bytes, checked)
}

/// An image whose header says something else, but is not damaged.
fn forged(mut bytes: Vec<u8>, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = format::HeaderPage::decode(&bytes).unwrap().header;
    change(&mut header);
    let directory = bytes[HEADER_LEN..HEADER_LEN + header.table_count as usize * TABLE_LEN].to_vec();
    bytes[..HEADER_LEN].copy_from_slice(&header.encode(&directory));
    bytes
}

/// A snapshot that is deleted in the end.
struct Snapshot {
    path: PathBuf,
    file: File,
}

impl Snapshot {
    fn new(name: &str, bytes: &[u8]) -> Self {
        use std::os::unix::fs::OpenOptionsExt;
        let path = std::env::temp_dir().join(format!("fastboot-rt-{}-{name}.snap", std::process::id()));
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        let snapshot = Self { path, file };
        snapshot.write(0, bytes);
        snapshot
    }

    /// In place: a file that is truncated and written anew is written to the disk each time.
    fn write(&self, at: usize, bytes: &[u8]) {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, at as u64).unwrap();
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn opened(snapshot: &Snapshot) -> Result<Stored, Reason> {
    let path = CString::new(snapshot.path.as_os_str().as_bytes()).unwrap();
    snapshot::image(Location::Variable(Box::leak(path.into_boxed_c_str())))
}

/// Thaws the snapshot as a start does, looks at it with `look`, and unmaps it again.
fn thaw_and<R>(snapshot: &Snapshot, look: impl FnOnce(&Thawed) -> R) -> Result<R, Reason> {
    STATIC.store(0, Ordering::Relaxed);
    let thawed = from_file(Source::Snapshot, &opened(snapshot)?, Some(IDENTITY), &program())?;
    let result = look(&thawed);
    // SAFETY: the image was thawed for this test, which does not use it any more.
    unsafe { memory::release(thawed.address, thawed.length) };
    Ok(result)
}

fn word_of(thawed: &Thawed, at: usize) -> u64 {
    // SAFETY: the image is mapped, and the offset lies in it.
    unsafe { ptr::with_exposed_provenance::<u64>(thawed.address + at).read_unaligned() }
}

#[test]
fn what_changes_after_it_was_read_is_not_looked_at() {
    let _turn = turn();
    let (bytes, _) = image(0);
    let snapshot = Snapshot::new("changes", &bytes);
    let stored = opened(&snapshot).unwrap();
    let mut beginning = [0; HEADER_COPY_LEN];
    let read = stored.header(&mut beginning).unwrap();
    snapshot.write(0, &[0xff; HEADER_COPY_LEN]);
    let mapped = stored.map(read, &beginning).unwrap_or_else(|reason| panic!("{reason}"));
    assert!(*mapped.header() == read && mapped.entry(TableKind::Carried).is_some());
    assert!(mapped.verify(TableKind::Carried).is_ok());
    // SAFETY: nothing refers to it any more.
    unsafe { mapped.unmap() };
    assert!(matches!(stored.header(&mut beginning), Err(Reason::Format(FormatError::Magic))));
}

#[test]
fn a_snapshot_is_used_at_home_and_elsewhere() {
    let _turn = turn();
    for flags in [FLAG_RELOCATABLE, FLAG_RELOCATABLE | FLAG_READ_ONLY] {
        let (bytes, _) = image(flags);
        let snapshot = Snapshot::new("used", &bytes);
        let look = |thawed: &Thawed| {
            assert_eq!(STATIC.load(Ordering::Relaxed), CARRIED.0, "the static was not restored");
            assert_eq!(word_of(thawed, BOUND_AT), SYMBOL, "what a library has was not found");
            (thawed.address as u64, thawed.relocated, word_of(thawed, POINTER.1))
        };
        assert_eq!(thaw_and(&snapshot, look).unwrap(), (DEFAULT_HOME, false, POINTER.0));

        memory::reserve(DEFAULT_HOME as usize, PAGE).unwrap();
        let elsewhere = thaw_and(&snapshot, look);
        // In the table of image pointers.
        snapshot.write(344, &[bytes[344] ^ 1]);
        let damaged = thaw_and(&snapshot, look);
        // SAFETY: this test reserved it, and nothing is there.
        unsafe { memory::release(DEFAULT_HOME as usize, PAGE) };
        let (address, relocated, word) = elsewhere.unwrap();
        assert!(relocated && address == DEFAULT_HOME + HOME_STEP);
        assert_eq!(word - address, POINTER.0 - DEFAULT_HOME);
        assert!(matches!(damaged, Err(Reason::Format(FormatError::Digest { part: "image pointer table", .. }))));
    }
    let snapshot = Snapshot::new("stays", &image(0).0);
    memory::reserve(DEFAULT_HOME as usize, PAGE).unwrap();
    let elsewhere = thaw_and(&snapshot, |_| ());
    // SAFETY: this test reserved it, and nothing is there.
    unsafe { memory::release(DEFAULT_HOME as usize, PAGE) };
    assert!(matches!(elsewhere, Err(Reason::Home { relocatable: false, .. })), "{elsewhere:?}");
    thaw_and(&snapshot, |_| ()).unwrap();
}

#[test]
fn the_next_place_is_tried_until_there_is_none() {
    let _turn = turn();
    // None of its places is one that another test uses.
    let home = 0x5504_0000_0000;
    let snapshot = Snapshot::new("places", &forged(image(FLAG_RELOCATABLE).0, |header| header.home = home));
    let places: [u64; 4] = std::array::from_fn(|step| home + step as u64 * HOME_STEP);
    for place in places {
        assert_eq!(thaw_and(&snapshot, |thawed| thawed.address as u64).unwrap(), place);
        // Only the fifth byte of an address is another one.
        assert_eq!((place ^ home) & !(0xff << 32), 0, "{place:#x}");
        memory::reserve(place as usize, PAGE).unwrap();
    }
    let refused = thaw_and(&snapshot, |_| ());
    assert!(matches!(refused, Err(Reason::Home { relocatable: true, .. })), "{refused:?}");
    for place in places {
        // SAFETY: reserved above; nothing is there.
        unsafe { memory::release(place as usize, PAGE) };
    }
    thaw_and(&snapshot, |_| ()).unwrap();
}

#[test]
fn every_length_but_the_right_one_is_refused() {
    let _turn = turn();
    let (bytes, _) = image(FLAG_RELOCATABLE);
    let snapshot = Snapshot::new("length", &bytes);
    thaw_and(&snapshot, |_| ()).unwrap();
    snapshot.file.set_len(LENGTH as u64 + 1).unwrap();
    assert!(thaw_and(&snapshot, |_| ()).is_err(), "a byte more was used");
    for length in (0..LENGTH).rev() {
        snapshot.file.set_len(length as u64).unwrap();
        assert!(thaw_and(&snapshot, |_| ()).is_err(), "{length} of {LENGTH} bytes were used");
    }
}

#[test]
fn every_byte_that_counts_is_missed_when_it_is_wrong() {
    let _turn = turn();
    let (bytes, checked) = image(FLAG_RELOCATABLE);
    let snapshot = Snapshot::new("byte", &bytes);
    for (kind, range) in checked {
        // What is not read at home is not missed there: the first test has it read.
        let unread = matches!(kind, Some(TableKind::PageDigests | TableKind::ImagePointers));
        for at in range {
            for flip in [1, 0x80, 0x55, 0xff] {
                snapshot.write(at, &[bytes[at] ^ flip]);
                match thaw_and(&snapshot, |_| STATIC.load(Ordering::Relaxed)) {
                    Ok(carried) => assert!(unread && carried == CARRIED.0, "byte {at} of {kind:?} went unnoticed"),
                    Err(reason) => {
                        assert!(!unread && !reason.to_string().is_empty(), "byte {at} of {kind:?}: {reason}");
                        assert_eq!(STATIC.load(Ordering::Relaxed), 0, "refused, but something was restored");
                    }
                }
            }
            snapshot.write(at, &bytes[at..=at]);
        }
    }
    thaw_and(&snapshot, |_| ()).unwrap();
}

#[test]
fn a_symbol_that_no_library_has_is_told() {
    let _turn = turn();
    let snapshot = Snapshot::new("symbol", &image(0).0);
    BOUND.store(0, Ordering::Relaxed);
    let reason = thaw_and(&snapshot, |_| ()).unwrap_err().to_string();
    BOUND.store(SYMBOL, Ordering::Relaxed);
    assert!(reason.starts_with("the symbol at 0x") && STATIC.load(Ordering::Relaxed) == 0, "{reason}");
    thaw_and(&snapshot, |_| ()).unwrap();
}

#[test]
fn a_processor_that_answers_otherwise_is_told() {
    let _turn = turn();
    // CMPXCHG8B, which every processor has, and a reserved bit.
    for (bits, said) in [(1 << 8, None), (1 << 8 | 1 << 10, Some("the processor lacks cpuid 0x1.0 edx 0x400"))] {
        let snapshot = Snapshot::new("answer", &image_for(FLAG_RELOCATABLE, [0, 0, 0, bits]).0);
        let reason = thaw_and(&snapshot, |_| ()).err().map(|reason| reason.to_string());
        let start = reason.as_deref().map(|reason| reason.split(',').next().unwrap_or_default());
        assert_eq!(start, said);
    }
}

#[test]
fn another_identity_is_told() {
    let _turn = turn();
    let snapshot = Snapshot::new("identity", &forged(image(0).0, |header| header.identity = [0xab; 32]));
    let reason = thaw_and(&snapshot, |_| ()).unwrap_err().to_string();
    assert!(reason.contains(&"ab".repeat(32)) && reason.contains(&"07".repeat(32)), "{reason}");
}
