//! Files: where they are loaded from, many threads, more than 4 GiB, saves that are interrupted, what errors say.

use fastboot_defer::{
    self as defer, BlockKind, Defer, DeferMap, DeferVec, ErrorKind, LoadOptions, ReadCount, SaveOptions, Writer,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("fastboot-defer-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    title: String,
    text: Defer<String>,
}

fn page(n: usize) -> Page {
    Page { title: format!("Page {n}"), text: Defer::new(format!("text {n} ").repeat(200)) }
}

#[test]
fn reads_only_what_is_touched() {
    let folder = Folder::new();
    let path = folder.file("pages.defer");
    let pages: Vec<Page> = (0..1000).map(page).collect();
    defer::save(&path, &pages).unwrap();
    let len = fs::metadata(&path).unwrap().len();

    let count = ReadCount::default();
    let back: Vec<Page> = LoadOptions::new().count(&count).load(&path).unwrap();
    let strict = count.bytes();
    assert!(strict < len / 50, "{strict} of {len} bytes");
    assert!(back.iter().all(|page| !page.text.is_loaded()));
    assert_eq!(back[500].text.get().unwrap(), pages[500].text.get().unwrap());
    assert!(count.bytes() - strict < 2500);
    assert_eq!(count.blocks(), 2);
    assert_eq!(back, pages);
    assert_eq!(count.blocks(), 1001);
}

#[test]
fn from_everywhere() {
    let folder = Folder::new();
    let path = folder.file("list.defer");
    let list: DeferVec<String> = (0..5000).map(|n| n.to_string()).collect();
    defer::save(&path, &list).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes, defer::to_vec(&list).unwrap());
    let kept: &'static [u8] = bytes.clone().leak();
    assert_eq!(defer::load::<DeferVec<String>>(&path).unwrap(), list);
    assert_eq!(defer::from_static::<DeferVec<String>>(kept).unwrap(), list);
    assert_eq!(defer::from_vec::<DeferVec<String>>(bytes.clone()).unwrap(), list);
    let reader = LoadOptions::new().from_reader::<DeferVec<String>>(Cursor::new(bytes)).unwrap();
    assert_eq!(reader, list);
    // The file stays open: removing its name hurts nobody.
    #[cfg(unix)]
    {
        let open: DeferVec<String> = defer::load(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(open.get(4321).unwrap(), "4321");
    }
}

#[test]
fn sixteen_threads() {
    let folder = Folder::new();
    let path = folder.file("pages.defer");
    let pages: Vec<Page> = (0..400).map(page).collect();
    let table: DeferMap<u32, Page> =
        (0..400).map(|n| (n, page(n as usize))).collect::<DeferMap<_, _>>().defer_keys(true);
    let list: DeferVec<Page> = (0..400).map(page).collect();
    type All = (Vec<Page>, DeferMap<u32, Page>, DeferVec<Page>);
    SaveOptions::new().block_size(256).save_as::<All>(&path, &(&pages, table, list)).unwrap();
    let from_file = defer::load(&path).unwrap();
    let from_reader = LoadOptions::new().from_reader(fs::File::open(&path).unwrap()).unwrap();
    let all: [All; 2] = [from_file, from_reader];
    for (back, table, list) in &all {
        let barrier = std::sync::Barrier::new(16);
        let addresses: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let work = |t: usize| {
                barrier.wait();
                let mut addresses = vec![0; 400];
                for i in 0..400 {
                    // Half of the threads go the other way round.
                    let i = if t % 2 == 0 { i } else { 399 - i };
                    let text = back[i].text.get().unwrap();
                    assert_eq!(text, pages[i].text.get().unwrap());
                    assert_eq!(table.get(&(i as u32)).unwrap().unwrap(), &pages[i]);
                    assert_eq!(list.get(i as u64).unwrap(), &pages[i]);
                    addresses[i] = text.as_ptr() as usize;
                }
                addresses
            };
            let threads: Vec<_> = (0..16).map(|t| scope.spawn(move || work(t))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        // All threads got the same string.
        assert!(addresses.iter().all(|a| *a == addresses[0]));
    }
}

#[test]
fn more_than_four_gib() {
    let folder = Folder::new();
    let path = folder.file("large.defer");
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Large {
        near: Defer<String>,
        pages: DeferVec<Page>,
        other: DeferVec<u64>,
        far: Defer<(String, Defer<String>)>,
    }
    let mut writer = SaveOptions::new().block_size(1000).create(&path).unwrap();
    let near = writer.defer(&"near".to_string()).unwrap();
    let (mut pages, mut other) = (writer.list(), writer.list());
    for n in 0..50 {
        writer.push(&mut pages, &page(n)).unwrap();
        writer.push(&mut other, &(n as u64)).unwrap();
        // Between the chunks, nearly 5 GiB altogether, which the file system does not store.
        writer.leave_gap(100 << 20).unwrap();
    }
    let (other, pages) = (writer.close(other).unwrap(), writer.close(pages).unwrap());
    let far = writer.defer(&("far".to_string(), Defer::new("farther".to_string()))).unwrap();
    assert!(matches!(far.get().unwrap_err().kind(), ErrorKind::Unfinished));
    writer.finish(&Large { near, pages, other, far }).unwrap();

    let len = fs::metadata(&path).unwrap().len();
    assert!(len > 4 << 30, "{len}");
    let count = ReadCount::default();
    let large: Large = LoadOptions::new().count(&count).load(&path).unwrap();
    assert_eq!(large.near.get().unwrap(), "near");
    assert_eq!(large.far.get().unwrap().1.get().unwrap(), "farther");
    for (n, p) in large.pages.iter().enumerate() {
        assert_eq!(p.unwrap(), &page(n));
    }
    assert_eq!(large.other.iter().map(|n| *n.unwrap()).sum::<u64>(), 49 * 25);
    assert!(count.bytes() < 1 << 20);
    let checked = defer::verify(&path).unwrap();
    assert!(checked.damage.is_empty(), "{:?}", checked.damage);
    assert_eq!(checked.summary.blocks.iter().filter(|b| b.kind == BlockKind::Gap).count(), 50);

    // Saved again at once, the gaps are gone and the strict data is at the front.
    let small = folder.file("small.defer");
    defer::save(&small, &large).unwrap();
    assert_eq!(defer::load::<Large>(&small).unwrap(), large);
    assert!(fs::metadata(&small).unwrap().len() < 1 << 20);
    assert_eq!(defer::inspect(&small).unwrap().blocks[0].kind, BlockKind::Root);
}

#[test]
fn what_a_writer_refuses() {
    let folder = Folder::new();
    let mut writer = Writer::create(folder.file("a.defer")).unwrap();
    let mut other = Writer::create(folder.file("b.defer")).unwrap();
    let mut list = writer.list();
    writer.push(&mut list, &1_u8).unwrap();
    assert!(other.push(&mut list, &2).unwrap_err().to_string().contains("another Writer"));
    let list = writer.close(list).unwrap();
    let foreign = list.clone();
    // Written parts cannot go into other formats, other parts, other files or files saved at once.
    assert!(serde_json::to_string(&list).unwrap_err().to_string().contains("still being written"));
    assert!(defer::to_vec(&list).unwrap_err().to_string().contains("another Writer"));
    assert!(other.defer(&list).unwrap_err().to_string().contains("by the root"));
    assert!(other.finish(&foreign).unwrap_err().to_string().contains("another Writer"));
    // A later question of JSON is not answered by what an earlier failure left.
    assert!(serde_json::to_string(&foreign).is_err());
    writer.finish(&(list, 7_u8)).unwrap();
    let (list, seven): (DeferVec<u8>, u8) = defer::load(folder.file("a.defer")).unwrap();
    assert_eq!((*list.get(0).unwrap(), seven), (1, 7));
    assert_eq!(folder.names(), ["a.defer"]);

    #[derive(Deserialize)]
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let mut writer = Writer::create(folder.file("c.defer")).unwrap();
    let mut list = writer.list();
    assert!(writer.push(&mut list, &Fails).unwrap_err().to_string().contains("no"));
    assert!(writer.push(&mut list, &Fails).unwrap_err().to_string().contains("start the file again"));
    assert!(writer.close(list).is_err());
    drop(writer);
    assert_eq!(folder.names(), ["a.defer"]);
}

#[test]
fn clones_and_unloading() {
    let bytes = defer::to_vec(&page(7)).unwrap();
    let mut page: Page = defer::from_vec(bytes).unwrap();
    assert_eq!(page.text.try_get(), None);
    let early = page.text.clone();
    let text = page.text.get().unwrap().clone();
    assert!(!early.is_loaded());
    let late = page.text.clone();
    assert_eq!(late.try_get(), Some(&text));
    assert!(std::ptr::eq(late.get().unwrap(), page.text.get().unwrap()));
    assert!(page.text.unload());
    assert!(!page.text.is_loaded() && late.is_loaded());
    assert!(!page.text.unload());
    assert_eq!(page.text.get().unwrap(), &text);
    let keep = page.text.clone();
    assert_eq!(page.text.into_inner().unwrap(), text);
    assert_eq!(keep.into_inner().unwrap(), text);

    let mut memory = Defer::new(5);
    assert!(!memory.unload(), "it could not be read again");
    let shared = memory.clone();
    assert!(matches!(memory.into_inner().unwrap_err().kind(), ErrorKind::Shared));
    assert_eq!(shared.into_inner().unwrap(), 5);
    assert_eq!(format!("{:?}", Defer::new(1)), "Defer(1)");

    fn shared_between_threads<T: Send + Sync + 'static>() {}
    shared_between_threads::<(Defer<String>, DeferVec<Page>, DeferMap<u8, Page>)>();
}

#[test]
fn what_errors_say() {
    let folder = Folder::new();
    let path = folder.file("pages.defer");
    SaveOptions::new().version(2).save(&path, &vec![page(1), page(2)]).unwrap();
    let load = |version| LoadOptions::new().version(version).load::<Vec<Page>>(&path);
    let e = load(3).unwrap_err();
    assert_eq!(
        e.to_string(),
        format!(
            "{}: written with version 2, this program wants 3; write the file again with this program",
            path.display()
        )
    );
    assert!(matches!(e.kind(), ErrorKind::Version { expected: 3, found: 2 }));
    assert_eq!(e.file(), Some(&*path));

    // One byte of the second text.
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|w| w == b"text 2 ").unwrap() as u64;
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at + 50)).unwrap();
    file.write_all(b"!").unwrap();
    let pages = load(2).unwrap();
    pages[0].text.get().unwrap();
    let e = pages[1].text.get().unwrap_err();
    let begin = format!("{}: block 2 at offset {}: the checksum should be ", path.display(), at - 2 - 32);
    assert!(e.to_string().starts_with(&begin), "{e}\n{begin}");
    assert_eq!((e.block(), e.block_number()), (Some(at - 34), Some(2)));
    let checked = defer::verify(&path).unwrap();
    assert_eq!(checked.damage.len(), 1);
    assert_eq!(checked.damage[0].to_string(), e.to_string());
    assert_eq!(checked.summary.blocks.len(), 3);
    assert_eq!(checked.summary.version, 2);
    assert!(checked.summary.strict_share() > 0.0 && checked.summary.strict_share() < 0.1);
    defer::inspect(&path).unwrap();

    // The name keeps meaning what it meant when the file was loaded, but the file was cut off behind its back.
    let pages: Vec<Page> = load(2).unwrap();
    file.set_len(at).unwrap();
    let e = pages[1].text.get().unwrap_err().to_string();
    assert!(e.contains("it was cut off") && e.contains("pages.defer: block"), "{e}");
    let e = load(2).unwrap_err().to_string();
    assert!(e.contains("the file should have"), "{e}");

    let text = |bytes: &[u8]| defer::from_vec::<u8>(bytes.to_vec()).unwrap_err().to_string();
    assert!(text(b"PK\x03\x04....").contains("not a deferred file"));
    assert!(text(b"").contains("never finished"));
    assert!(text(&[0; 100]).contains("never finished"));
    let missing = defer::load::<u8>(folder.file("missing")).unwrap_err().to_string();
    assert!(missing.contains("missing: ") && missing.contains("check the path"), "{missing}");
    let wrong = defer::from_vec::<(bool, String)>(defer::to_vec(&7_u8).unwrap()).unwrap_err();
    assert_eq!(wrong.offset_in_block(), Some(1));
    let more = defer::from_vec::<u8>(defer::to_vec(&(7_u8, 8_u8)).unwrap()).unwrap_err().to_string();
    assert!(more.contains("1 bytes are left over"), "{more}");
}

/// Says that it is the whole new value only if it is.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Generation {
    number: u64,
    list: DeferVec<u64>,
}

fn generation(number: u64) -> Generation {
    Generation { number, list: (0..20_000).map(|n| n * number).collect() }
}

#[track_caller]
fn whole(path: &Path) -> u64 {
    let found: Generation = defer::load(path).unwrap();
    assert_eq!(found, generation(found.number));
    found.number
}

#[test]
fn saves_that_fail_leave_the_old_file() {
    struct Fails(bool);
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            assert!(!self.0, "a panic in the middle");
            Err(serde::ser::Error::custom("an error in the middle"))
        }
    }
    let folder = Folder::new();
    let path = folder.file("state.defer");
    defer::save(&path, &generation(1)).unwrap();
    let save = |panics| SaveOptions::new().save_as::<(Generation, ())>(&path, &(generation(2), Fails(panics)));
    let e = save(false).unwrap_err().to_string();
    assert!(e.contains("an error in the middle") && e.contains("state.defer"), "{e}");
    let panicked = std::panic::catch_unwind(|| save(true));
    assert!(panicked.is_err());
    let mut writer = Writer::create(&path).unwrap();
    let mut list = writer.list();
    for n in 0..100_000_u64 {
        writer.push(&mut list, &n).unwrap();
    }
    drop(writer);
    assert_eq!(whole(&path), 1);
    assert_eq!(folder.names(), ["state.defer"]);
    assert!(defer::save(folder.file("no/such/folder"), &1).is_err());
}

/// A process that saves again and again is killed in the middle.
#[test]
fn interrupted_saves() {
    const TARGET: &str = "FASTBOOT_TEST_SAVE_TO";
    if let Some(path) = std::env::var_os(TARGET) {
        // Bounded, should the one that kills it be killed itself.
        for n in 1..5_000 {
            defer::save(&path, &generation(n)).unwrap();
        }
    }
    let folder = Folder::new();
    let path = folder.file("state.defer");
    defer::save(&path, &generation(0)).unwrap();
    for wait in 1..20 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "interrupted_saves", "--nocapture"])
            .env(TARGET, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait * 3));
        child.kill().unwrap();
        child.wait().unwrap();
        whole(&path);
    }
    assert!(whole(&path) > 0, "no save was ever finished");
}
