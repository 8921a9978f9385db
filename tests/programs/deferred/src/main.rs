//! Roots with deferred fields. Prints what they answer, the same in every run; says on standard error where hot objects
//! end and where the bodies of deferred fields begin.

use fastboot_rt::defer::{self, Defer, DeferMap, DeferVec};
use serde::{Deserialize, Serialize};
use witness::evaluated;

fastboot_rt::install!();

fastboot_rt::frozen! {
    /// Made in memory: all of it is there.
    static BOOK: Book = evaluated("BOOK", book);

    /// Read from a file in memory: a few parts of it were touched, the others still have to be read.
    static READ: Book = evaluated("READ", || read().unwrap_or_else(|error| panic!("{error}")));

    /// Evaluated after all bodies, and yet before them in the image.
    static WORDS: Vec<String> = evaluated("WORDS", || (0..1000).map(|number| format!("word {number}")).collect());
}

#[derive(Serialize, Deserialize)]
struct Book {
    pages: Vec<Page>,
    lines: DeferVec<String>,
    index: DeferMap<String, Vec<u32>>,
}

#[derive(Serialize, Deserialize)]
struct Page {
    title: String,
    text: Defer<String>,
    sheet: Defer<Sheet>,
}

/// More aligned than the counts of an `Arc`, and with a deferred field of its own.
#[derive(Serialize, Deserialize)]
#[repr(align(64))]
struct Sheet {
    number: u64,
    note: Defer<String>,
}

fn book() -> Book {
    let page = |number: u64| Page {
        title: format!("Page {number}"),
        text: Defer::new(format!("What page {number} says. ").repeat(20)),
        sheet: Defer::new(Sheet { number, note: Defer::new(format!("note {number}")) }),
    };
    Book {
        pages: (0..1000).map(page).collect(),
        lines: (0..5000).map(|number| format!("line {number}")).collect(),
        index: (0..100).map(|number| (format!("{number:03}"), vec![number; 10])).collect(),
    }
}

fn read() -> defer::Result<Book> {
    let book: Book = defer::from_vec(defer::to_vec(&book())?)?;
    book.pages[7].text.get()?;
    book.lines.get(1234)?;
    Ok(book)
}

fn main() -> defer::Result<()> {
    for (name, book) in [("BOOK", &*BOOK), ("READ", &*READ)] {
        println!("{name}: {} pages, {:?}", book.pages.len(), book.pages[12].title);
        for number in [7, 12] {
            let page = &book.pages[number];
            println!("{name}: loaded {} {}", page.text.is_loaded(), page.sheet.is_loaded());
            println!("{name}: {} {}", page.text.get()?.len(), page.sheet.get()?.note.get()?);
        }
        println!("{name}: loaded {} {}", book.lines.is_loaded(1234), book.lines.is_loaded(4999));
        println!("{name}: {} {} {:?}", book.lines.get(1234)?, book.lines.get(4999)?, book.index.get("042")?);
    }
    let mut own = BOOK.pages[3].text.clone();
    println!("WORDS: {}, {} {}", WORDS.join(" ").len(), own.unload(), own.into_inner().is_err());
    place()?;
    witness::sources!(BOOK, READ, WORDS);
    Ok(())
}

fn place() -> defer::Result<()> {
    let (mut hot, mut cold) = (Vec::new(), Vec::new());
    hot.extend(WORDS.iter().map(|word| word.as_ptr().addr()));
    hot.extend(READ.pages.iter().map(|page| page.title.as_ptr().addr()));
    for page in &BOOK.pages {
        hot.extend([page.title.as_ptr().addr(), std::ptr::from_ref(page).addr()]);
        let sheet = page.sheet.get()?;
        cold.extend([std::ptr::from_ref(sheet).addr(), std::ptr::from_ref(page.text.get()?).addr()]);
        cold.extend([page.text.get()?.as_ptr().addr(), sheet.note.get()?.as_ptr().addr()]);
    }
    cold.push(READ.pages[7].text.try_get().map_or(0, |text| text.as_ptr().addr()));
    for line in BOOK.lines.iter() {
        cold.push(line?.as_ptr().addr());
    }
    eprintln!("hot {} {:#x}", hot.len(), hot.iter().max().unwrap_or(&0));
    eprintln!("cold {} {:#x}", cold.len(), cold.iter().min().unwrap_or(&0));
    Ok(())
}
