//! Damaged files: with checksums every change is noticed, without them nothing panics; lies do not cost memory or time.

use fastboot_defer::{self as defer, Defer, DeferMap, DeferVec, LoadOptions, SaveOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// Counts what this thread has allocated and not freed, and the highest value of that.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to `System` unchanged; the counters are plain thread-locals without destructors, so
// touching them allocates nothing and is possible at any time in a thread's life.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get().wrapping_add(layout.size());
        NOW.set(now);
        PEAK.set(PEAK.get().max(now));
        // SAFETY: the caller keeps the contract of `alloc`, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`, and `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that `f` had allocated at most, beyond what there was before.
fn peak<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let out = f();
    (out, PEAK.get().saturating_sub(before))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    url: Defer<String>,
    title: String,
    text: Defer<String>,
    kind: Option<Kind>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Note(u32, String),
    Group { of: Vec<char>, more: Defer<Vec<Option<Kind>>> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trie {
    children: Vec<(char, Defer<Trie>)>,
    start: u64,
    len: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DataBase {
    pages: Vec<Page>,
    postings: DeferVec<(u16, f32)>,
    trie: Trie,
    table: DeferMap<String, Vec<u8>>,
    index: DeferMap<u32, Page>,
    counts: HashMap<u8, i64>,
}

fn trie(depth: u64) -> Trie {
    let children = (0..depth).map(|n| (char::from(b'a' + n as u8), Defer::new(trie(n)))).collect();
    Trie { children, start: depth, len: depth * 7 }
}

fn data_base() -> DataBase {
    let page = |n: u32| Page {
        url: format!("https://example.org/{n}").into(),
        title: format!("Page {n}"),
        text: "many words ".repeat(n as usize).into(),
        kind: [
            None,
            Some(Kind::Plain),
            Some(Kind::Note(n, "é".into())),
            Some(Kind::Group { of: vec!['a', 'ß'], more: vec![None, Some(Kind::Plain)].into() }),
        ][n as usize % 4]
            .clone(),
    };
    DataBase {
        pages: (0..8).map(page).collect(),
        postings: (0..60).map(|n| (n * 301, f32::from(n) / 2.0)).collect(),
        trie: trie(4),
        table: (0..20).map(|n| (format!("key {n}"), vec![n; n as usize])).collect(),
        index: (0..6).map(|n| (n * n, page(n))).collect::<DeferMap<_, _>>().defer_keys(true),
        counts: [(3, -9)].into(),
    }
}

/// Loads and touches everything. JSON makes a comparison that needs no further reading.
fn everything(bytes: Vec<u8>) -> defer::Result<serde_json::Value> {
    let db: DataBase = defer::from_vec(bytes)?;
    // Ways of touching that serializing does not go.
    for page in &db.pages {
        page.text.get()?;
    }
    for posting in &db.postings {
        posting?;
    }
    db.index.get(&9)?;
    for entry in db.table.range("key 3".to_string().."key 7".to_string())? {
        entry?;
    }
    serde_json::to_value(&db).map_err(|e| {
        // The error of a part that was touched by serializing comes as text.
        SaveOptions::new().to_vec_as::<()>(&Fails(e.to_string())).unwrap_err()
    })
}

struct Fails(String);

impl Serialize for Fails {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(&self.0))
    }
}

/// The same, saved at once, compressed, and written piece by piece.
fn files(checksums: bool) -> Vec<Vec<u8>> {
    let options = SaveOptions::new().block_size(60).checksums(checksums);
    #[cfg_attr(not(feature = "zstd"), expect(unused_mut, reason = "without compression nothing is added"))]
    let mut files = vec![options.to_vec(&data_base()).unwrap(), streamed(&options)];
    #[cfg(feature = "zstd")]
    files.push(options.zstd(3).block_size(900).to_vec(&data_base()).unwrap());
    files
}

fn streamed(options: &SaveOptions) -> Vec<u8> {
    let name = format!("fastboot-damage-{}-{:?}.defer", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    let mut db = data_base();
    let mut writer = options.create(&path).unwrap();
    let mut list = writer.list();
    for posting in &db.postings {
        writer.push(&mut list, posting.unwrap()).unwrap();
    }
    db.postings = writer.close(list).unwrap();
    db.pages[5].text = writer.defer(db.pages[5].text.get().unwrap()).unwrap();
    writer.finish(&db).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// Many damaged versions of a file, one at a time; `f` must get each.
fn damage(good: &[u8], cases: usize, mut f: impl FnMut(Vec<u8>)) -> usize {
    let mut count = 0;
    let mut give = |bytes: Vec<u8>| {
        if bytes != good {
            count += 1;
            f(bytes);
        }
    };
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] ^= change;
            give(bytes);
        }
        give(good[..at].to_vec());
    }
    // xorshift: the same cases every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    for case in 0..cases {
        let mut bytes = good.to_vec();
        match case % 6 {
            0 => {
                for _ in 0..1 + below(8) {
                    let at = below(bytes.len());
                    bytes[at] = below(256) as u8;
                }
            }
            1 => {
                let (at, n) = (below(bytes.len()), below(40));
                bytes.splice(at..at, (0..n).map(|n| n as u8)).for_each(drop);
            }
            2 => {
                let (at, n) = (below(bytes.len()), below(40));
                bytes.drain(at..(at + n).min(good.len()));
            }
            3 => {
                // A piece of the file in another place of it.
                let n = 1 + below(100);
                let (from, to) = (below(bytes.len() - n), below(bytes.len() - n));
                bytes.copy_within(from..from + n, to);
            }
            4 => {
                // A large number where small ones are.
                let at = below(bytes.len() - 8);
                bytes[at..at + 8].fill(0xff);
            }
            _ => {
                let (at, n) = (below(bytes.len()), below(300));
                let end = (at + n).min(bytes.len());
                bytes[at..end].fill(0);
            }
        }
        give(bytes);
    }
    count
}

#[test]
fn with_checksums_every_change_is_noticed() {
    for good in files(true) {
        assert_eq!(everything(good.clone()).unwrap(), serde_json::to_value(data_base()).unwrap());
        let count = damage(&good, 3_000, |bytes| {
            let at = bytes.iter().zip(&good).position(|(a, b)| a != b);
            if let Ok(value) = everything(bytes) {
                panic!("a change at {at:?} was not noticed: {value}");
            }
        });
        assert!(count > 12_000, "{count}");
        println!("{count} damaged files of {} bytes", good.len());
    }
}

#[test]
fn without_checksums_nothing_panics_and_memory_is_bounded() {
    for good in files(false) {
        let mut worst = 0;
        let count = damage(&good, 3_000, |bytes| {
            let (_, peak) = peak(|| everything(bytes).map(drop));
            worst = worst.max(peak);
        });
        assert!(count > 12_000, "{count}");
        println!("{count} damaged files of {} bytes, at most {worst} bytes allocated", good.len());
        // A good load needs about 100 KB, most of it the JSON. Compressed blocks may stand for 1024 times their size.
        assert!(worst < if cfg!(feature = "zstd") { 8 << 20 } else { 1 << 20 }, "{worst}");
    }
}

/// Contents as given, in a file with good checksums.
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = s.serialize_tuple(self.0.len())?;
        for byte in &self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

/// A file that its makers did not read back.
fn forged(value: &impl Serialize) -> Vec<u8> {
    SaveOptions::new().read_back(false).to_vec_as::<()>(value).unwrap()
}

/// Loads these contents as a `T`: the error, and that it took little memory and time.
#[track_caller]
fn refused<T: DeserializeOwned>(contents: &[u8]) -> String {
    let bytes = forged(&Raw(contents.to_vec()));
    let len = bytes.len();
    let start = std::time::Instant::now();
    let (result, peak) = peak(|| defer::from_vec::<T>(bytes).map(drop));
    let e = result.expect_err("this should be refused").to_string();
    assert!(peak < 64 * len + 4096, "{peak} bytes allocated for a file of {len}: {e}");
    assert!(start.elapsed().as_secs() < 5);
    assert!(e.starts_with("block 0 at offset 64: byte "), "{e}");
    e
}

const HUGE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];

#[test]
fn recursion_bombs() {
    #[derive(Deserialize)]
    struct Chain(#[allow(dead_code)] Option<Box<Chain>>);
    #[derive(Deserialize)]
    struct Tree(#[allow(dead_code)] Vec<Tree>);
    #[derive(Deserialize)]
    enum Either {
        #[allow(dead_code)]
        Left(Box<Either>),
        #[allow(dead_code)]
        Right { to: Box<Either> },
    }
    #[derive(Deserialize)]
    struct Map(#[allow(dead_code)] HashMap<u8, Map>);
    let ones = vec![1; 1_000_000];
    assert!(refused::<Chain>(&ones).contains("nest more than 128 deep"));
    assert!(refused::<Tree>(&ones).contains("deep"));
    assert!(refused::<Either>(&ones).contains("deep"));
    assert!(refused::<Map>(&ones).contains("deep"));
}

#[test]
fn lying_lengths() {
    for mut lie in [HUGE.to_vec(), vec![0xff, 0xff, 0xff, 0x7f]] {
        lie.extend([0; 40]);
        refused::<Vec<()>>(&lie);
        refused::<Vec<u8>>(&lie);
        refused::<Vec<u64>>(&lie);
        refused::<Vec<[u64; 32]>>(&lie);
        refused::<Vec<Vec<Vec<String>>>>(&lie);
        refused::<String>(&lie);
        refused::<HashMap<u64, String>>(&lie);
        refused::<BTreeMap<(), ()>>(&lie);
        refused::<DeferVec<u64>>(&lie);
        refused::<DeferMap<u64, u64>>(&lie);
        refused::<(u8, Box<str>)>(&[&[0], &lie[..]].concat());
    }
    // Every element another lie: each is small enough for the block on its own.
    let nested: Vec<u8> = std::iter::repeat_n([0xff, 0x7f], 10_000).flatten().collect();
    refused::<Vec<Vec<Vec<Vec<Vec<Vec<u64>>>>>>>(&nested);
    // A million elements that take nothing are allowed once, not for each of many.
    let zero_sized: Vec<u8> = [&[100_u8][..], &[0x80, 0x80, 0x20].repeat(100)].concat();
    refused::<Vec<Vec<()>>>(&zero_sized);
}

#[test]
fn as_many_empty_elements_as_can_be_loaded_can_be_saved() {
    let all = vec![(); 1 << 20];
    assert_eq!(defer::from_vec::<Vec<()>>(defer::to_vec(&all).unwrap()).unwrap(), all);
    let e = defer::to_vec(&vec![(); (1 << 20) + 1]).unwrap_err().to_string();
    assert!(e.contains("take no bytes"), "{e}");
    let list: DeferVec<()> = std::iter::repeat_n((), 3_000_000).collect();
    assert_eq!(defer::from_vec::<DeferVec<()>>(defer::to_vec(&list).unwrap()).unwrap().iter().count(), 3_000_000);
}

#[test]
fn references_to_where_no_part_can_be() {
    // (distance as zigzag, extent): before the bodies, behind the file, no room, too long, overflow.
    let lies: [&[u8]; 6] =
        [&[1, 40], &[126, 40], &[0, 31], &[0, 0xff, 1], &[&HUGE[..], &[40]].concat(), &[&[0], &HUGE[..]].concat()];
    for lie in lies {
        let e = refused::<Defer<u8>>(lie);
        assert!(e.contains("part"), "{e}");
    }
}

/// The body of a part refers to itself, to the root, and to what belongs to its sibling.
#[test]
fn cycles_and_overlaps() {
    type Loop = (Defer<(Defer<u8>, u8)>, Defer<String>);
    // Distances are zigzag: 1 is -1, 2 is 1. Extents include the 32 bytes of a header.
    for body in [[1_u8, 35, 0], [69, 35, 0], [0, 35, 0], [0, 40, 0], [199, 40, 0], [2, 33, 0]] {
        let file = (Defer::new([body[0], body[1], body[2]]), Defer::new("sibling".to_string()));
        let bytes = defer::to_vec(&file).unwrap();
        let back: Loop = defer::from_vec(bytes).unwrap();
        let e = back.0.get().unwrap_err().to_string();
        assert!(e.contains("a part lies "), "{e}");
        assert_eq!(back.1.get().unwrap(), "sibling");
    }
    // The root names the same part twice: then visiting all could take more time than the file has bytes.
    struct Twice;
    impl Serialize for Twice {
        fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            // 34 bytes of part, then its reference once more: back by 34 (zigzag 67), extent 34.
            (Defer::new([9_u8, 9]), 67_u8, 34_u8).serialize(s)
        }
    }
    let e = defer::from_vec::<(Defer<[u8; 2]>, Defer<[u8; 2]>)>(forged(&Twice)).unwrap_err();
    assert!(e.to_string().contains("parts overlap"), "{e}");
}

#[test]
fn deep_values_are_refused_when_they_are_saved() {
    #[derive(Serialize, Deserialize, Default)]
    struct Chain(Option<Box<Chain>>);
    let chain = |n| (0..n).fold(Chain::default(), |chain, _| Chain(Some(Box::new(chain))));
    // A newtype struct and a Some are two levels.
    let bytes = defer::to_vec(&chain(63)).unwrap();
    defer::from_vec::<Chain>(bytes).unwrap();
    let e = defer::to_vec(&chain(64)).unwrap_err().to_string();
    assert!(e.contains("128 deep"), "{e}");
    let bytes = SaveOptions::new().depth(400).to_vec(&chain(190)).unwrap();
    assert!(defer::from_vec::<Chain>(bytes.clone()).is_err());
    LoadOptions::new().depth(400).from_vec::<Chain>(bytes).unwrap();

    #[derive(Serialize, Deserialize)]
    struct Parts(Option<Defer<Parts>>);
    let parts = |n| (0..n).fold(Parts(None), |parts, _| Parts(Some(Defer::new(parts))));
    let bytes = defer::to_vec(&parts(256)).unwrap();
    let mut at = &defer::from_vec::<Parts>(bytes).unwrap();
    let mut depth = 0;
    while let Some(next) = &at.0 {
        at = next.get().unwrap();
        depth += 1;
    }
    assert_eq!(depth, 256);
    let e = defer::to_vec(&parts(257)).unwrap_err().to_string();
    assert!(e.contains("parts nest more than 256 deep"), "{e}");
}

#[test]
fn tries_as_deep_as_allowed_fit_into_the_stack_of_a_thread() {
    let mut deep = Trie { children: vec![], start: 0, len: 1 };
    for n in 0..255 {
        let children = vec![('a', Defer::new(deep)), ('b', Defer::new(trie(1)))];
        deep = Trie { children, start: n, len: n };
    }
    let bytes = defer::to_vec(&deep).unwrap();
    let back: Trie = defer::from_vec(bytes.clone()).unwrap();
    // Saved again from a file of which nothing is loaded.
    assert_eq!(defer::to_vec(&back).unwrap(), bytes);
    assert_eq!(back, deep);
}
