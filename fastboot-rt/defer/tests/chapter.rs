//! The code of `docs/deferred-loading.md`, run; and a check that the chapter shows exactly this code.

use std::path::PathBuf;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fastboot-chapter-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

mod basics {
    // chapter
    use fastboot_defer::{self as defer, Defer, DeferMap, DeferVec};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Page {
        title: String,
        text: Defer<String>,
    }

    #[derive(Serialize, Deserialize)]
    struct Book {
        name: String,
        pages: Vec<Page>,
        visits: DeferVec<u64>,
        notes: DeferMap<String, String>,
    }
    // end

    #[test]
    fn runs() -> super::Outcome {
        let folder = super::Folder::new("basics");
        let path = folder.0.join("book.defer");
        // chapter
        let book = Book {
            name: "Example".into(),
            pages: (1..=1000)
                .map(|n| Page {
                    title: format!("Page {n}"),
                    text: Defer::new(format!("What page {n} says. ").repeat(100)),
                })
                .collect(),
            visits: (0..100_000).collect(),
            notes: [("page 4".to_string(), "read again".to_string())].into_iter().collect(),
        };
        defer::save(&path, &book)?;

        let book: Book = defer::load(&path)?; // reads names and titles
        assert_eq!(book.pages[3].title, "Page 4");
        assert!(!book.pages[3].text.is_loaded());
        assert!(book.pages[3].text.get()?.starts_with("What page 4 says.")); // reads one text
        assert_eq!(*book.visits.get(70_000)?, 70_000); // reads one chunk of the list
        assert_eq!(book.notes.get("page 4")?.map(String::as_str), Some("read again"));
        // end
        assert_eq!(book.name, "Example");

        // chapter
        use fastboot_defer::{LoadOptions, SaveOptions};

        SaveOptions::new().version(2).save(&path, &book)?;
        let wrong = LoadOptions::new().version(3).load::<Book>(&path);
        let message = wrong.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("written with version 2, this program wants 3"));
        // end

        // chapter
        let json = serde_json::to_string(&book.pages[..2])?;
        assert!(json.starts_with(r#"[{"title":"Page 1","text":"What page 1 says. "#));
        let pages: Vec<Page> = serde_json::from_str(&json)?;
        assert!(pages[1].text.is_loaded()); // in other formats everything is strict
        // end

        let path = folder.0.join("log.defer");
        // chapter
        use fastboot_defer::Writer;

        let mut writer = Writer::create(&path)?;
        let mut lines = writer.list();
        for n in 0..50_000 {
            writer.push(&mut lines, &format!("line {n}"))?; // goes to disk chunk by chunk
        }
        let lines: DeferVec<String> = writer.close(lines)?;
        writer.finish(&("the log".to_string(), lines))?; // only now the file takes its name

        let (name, lines): (String, DeferVec<String>) = defer::load(&path)?;
        assert_eq!((name.as_str(), lines.get(49_999)?.as_str()), ("the log", "line 49999"));
        // end
        Ok(())
    }
}

mod hoogle {
    // chapter
    use fastboot_defer::{self as defer, Defer, DeferVec};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct NameSearch {
        trie: Trie,
        items: DeferVec<String>, // sorted
    }

    #[derive(Serialize, Deserialize)]
    struct Trie {
        children: Vec<(char, Defer<Trie>)>,
        start: u64, // the items that begin with the letters on the way here:
        len: u64,   // start..start + len
    }

    impl Trie {
        /// The node of sorted names that are alike in their first `at` bytes.
        fn build(names: &[String], at: usize, start: u64) -> Trie {
            let letter = |name: &String| name[at..].chars().next();
            let mut children = Vec::new();
            let mut from = names.partition_point(|name| name.len() <= at);
            while let Some(c) = names.get(from).and_then(letter) {
                let to = from + names[from..].partition_point(|name| letter(name) == Some(c));
                let node = Trie::build(&names[from..to], at + c.len_utf8(), start + from as u64);
                children.push((c, Defer::new(node)));
                from = to;
            }
            Trie { children, start, len: names.len() as u64 }
        }
    }

    impl NameSearch {
        fn search(&self, query: &str) -> defer::Result<Vec<&String>> {
            let mut node = &self.trie;
            for letter in query.chars() {
                match node.children.iter().find(|child| child.0 == letter) {
                    Some((_, child)) => node = child.get()?, // reads one small block
                    None => return Ok(Vec::new()),
                }
            }
            self.items.range(node.start..node.start + node.len).collect() // reads a chunk or two
        }
    }
    // end

    #[test]
    fn runs() -> super::Outcome {
        let mut names: Vec<String> = (0..3000).map(|n| format!("{:x}", n * 40_503 % 65_536)).collect();
        names.sort();
        let trie = Trie::build(&names, 0, 0);
        let index = NameSearch { trie, items: names.clone().into() };
        let index: NameSearch = defer::from_vec(defer::to_vec(&index)?)?;
        for query in ["", "a", "ab", "c0f", "zz"] {
            let strict: Vec<&String> = names.iter().filter(|name| name.starts_with(query)).collect();
            assert_eq!(index.search(query)?, strict, "{query:?}");
        }
        Ok(())
    }
}

mod own {
    // chapter
    use fastboot_defer::{self as defer, Arrived, Reference};
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::cell::OnceCell;

    struct Lazy<T> {
        value: OnceCell<T>,
        from: Option<Reference>, // without it there is a value from the start
    }

    impl<T> Lazy<T> {
        fn new(value: T) -> Self {
            Lazy { value: OnceCell::from(value), from: None }
        }
    }

    impl<T: DeserializeOwned> Lazy<T> {
        fn get(&self) -> defer::Result<Option<&T>> {
            if let (None, Some(from)) = (self.value.get(), &self.from) {
                let value = from.load()?; // reads, checks and decodes the block
                return Ok(Some(self.value.get_or_init(|| value)));
            }
            Ok(self.value.get())
        }
    }

    impl<T: Serialize + DeserializeOwned> Serialize for Lazy<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::Error;
            let value = self.get().map_err(Error::custom)?;
            let value = value.ok_or_else(|| Error::custom("a Lazy without a value"))?;
            defer::serialize_part(value, serializer) // a block of its own
        }
    }

    impl<'de, T: DeserializeOwned> Deserialize<'de> for Lazy<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Ok(match defer::deserialize_part::<T, D>(deserializer)? {
                Arrived::There(from) => Lazy { value: OnceCell::new(), from: Some(from) },
                Arrived::Here(value) => Lazy::new(value), // another format
            })
        }
    }
    // end

    #[test]
    fn runs() -> super::Outcome {
        // chapter
        let pair = ("strict".to_string(), Lazy::new("deferred".to_string()));
        let pair: (String, Lazy<String>) = defer::from_vec(defer::to_vec(&pair)?)?;
        assert!(pair.1.value.get().is_none());
        assert_eq!(pair.1.get()?.map(String::as_str), Some("deferred"));
        // end
        let json = serde_json::to_string(&pair)?;
        assert_eq!(json, r#"["strict","deferred"]"#);
        assert!(serde_json::from_str::<(String, Lazy<String>)>(&json)?.1.value.get().is_some());
        Ok(())
    }
}

/// Lines without what indentation and empty lines add.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_chapter_shows_this_code() {
    let chapter = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/deferred-loading.md");
    // The chapter is no part of the published package.
    let Ok(chapter) = std::fs::read_to_string(&chapter) else {
        return;
    };
    let mut blocks = chapter.split("```rust\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let this = include_str!("chapter.rs");
    let own = this.split("// chapter\n").skip(1).map(|block| block.split("// end\n").next().unwrap_or_default());
    for own in own.filter(|own| !own.contains("fn lines")) {
        let shown = blocks.next().unwrap_or_default();
        assert_eq!(lines(shown), lines(own));
    }
    assert_eq!(blocks.next(), None);
}
