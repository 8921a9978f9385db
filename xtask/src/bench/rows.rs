//! What is measured: the list of rows. A new one is a line here.

use super::Size;

/// A table of its own, measured against the empty program in rounds of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// 1,000,000 paths, looked up by number.
    Strings,
    /// An index of 200,000 words, looked up by word.
    Map,
    /// Values of real crates.
    Crates,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Strings, Self::Map, Self::Crates];

    /// What the table is called in files and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Strings => "strings",
            Self::Map => "map",
            Self::Crates => "crates",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Strings => "W1: 1,000,000 strings",
            Self::Map => "W2: a `HashMap<String, Vec<u32>>` of 200,000 words",
            Self::Crates => "W3: values of real crates",
        }
    }
}

/// How a binary is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// `bench/minimal`, with these flags for rustc.
    Empty(&'static [&'static str]),
    /// A binary of `bench/suite/workloads`, such as `idle`, which does nothing as well but can tell the time.
    Plain(&'static str),
    /// A binary of `bench/suite/peers`, which saves and loads files with this ending.
    Peer { binary: &'static str, ending: &'static str, checked: bool },
    /// A binary of `bench/suite/baked`.
    Baked(&'static str),
    /// A binary of `bench/suite/frozen`, built with these flags for `cargo fastboot build`.
    Fastboot { binary: &'static str, flags: &'static [&'static str] },
    /// The cold binary of the same.
    Cold { binary: &'static str, flags: &'static [&'static str] },
    /// The cold binary with its image in a file of its own.
    Snapshot { binary: &'static str, flags: &'static [&'static str] },
}

/// A program and what it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What the tables call the program.
    pub(crate) name: String,
    /// Programs of the same workload give the same answers.
    pub(crate) workload: &'static str,
    pub(crate) program: Program,
    pub(crate) look_ups: usize,
    /// Only so many entries of the value count, because the program has no more.
    pub(crate) count: Option<usize>,
    /// Other arguments.
    pub(crate) how: &'static [&'static str],
}

impl Row {
    pub(crate) fn new(name: &str, workload: &'static str, program: Program, look_ups: usize) -> Self {
        Self { name: name.to_owned(), workload, program, look_ups, count: None, how: &[] }
    }

    /// What the tables call that which is asked for.
    pub(crate) fn task(&self) -> String {
        match (self.program, self.look_ups) {
            (Program::Empty(_) | Program::Plain(_), _) => "–".to_owned(),
            (_, 0) => "nothing touched".to_owned(),
            (_, 1) => "one use".to_owned(),
            (_, many) => format!("{many} look-ups"),
        }
    }

    /// The arguments that ask for it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if self.look_ups > 0 {
            arguments.extend(["--look-ups".to_owned(), self.look_ups.to_string()]);
        }
        if let Some(count) = self.count {
            arguments.extend(["--count".to_owned(), count.to_string()]);
        }
        arguments.extend(self.how.iter().map(|word| (*word).to_owned()));
        arguments
    }
}

/// What that row is called that all others are compared with.
pub(crate) const EMPTY: &str = "an empty program";
pub(crate) const EMPTY_STATIC: &str = "an empty static program";
pub(crate) const IDLE: &str = "an idle program";
/// How many entries are looked up.
pub(crate) const LOOK_UPS: usize = 100;
/// A non-PIE with the C library inside: what `--static` makes.
const STATIC: &[&str] = &["-C", "target-feature=+crt-static", "-C", "relocation-model=static"];
/// How fastboot's programs are linked. Another way of embedding is a line here.
const FASTBOOT: &[(&str, &[&str])] = &[
    (FASTBOOT_DEFAULT, &[]),
    (FASTBOOT_STATIC, &["--static"]),
    (FASTBOOT_PIE, &["--pie"]),
    ("fastboot `--footer`", &["--footer"]),
];
pub(crate) const FASTBOOT_COLD: &str = "fastboot, cold";
pub(crate) const FASTBOOT_DEFAULT: &str = "fastboot";
pub(crate) const FASTBOOT_STATIC: &str = "fastboot `--static`";
pub(crate) const FASTBOOT_PIE: &str = "fastboot `--pie`";
pub(crate) const FASTBOOT_TRAINED: &str = "fastboot `--static --train`";
/// Trained with the very look-ups that are measured.
const TRAINED: &[&str] = &["--static", "--train", "--look-ups 100"];
/// The other formats that have native values or files of their own.
const PEERS: &[(&str, Program)] = &[
    (TEXT, Program::Peer { binary: "text", ending: "txt", checked: false }),
    (BINCODE, Program::Peer { binary: "bincode", ending: "bincode", checked: false }),
    ("postcard", Program::Peer { binary: "postcard", ending: "postcard", checked: false }),
    ("bitcode", Program::Peer { binary: "bitcode", ending: "bitcode", checked: false }),
    ("serde_json", Program::Peer { binary: "serde_json", ending: "json", checked: false }),
    ("zerovec, mapped, checked", Program::Peer { binary: "zerovec", ending: "zerovec", checked: false }),
    ("rkyv, mapped, checked", Program::Peer { binary: "rkyv", ending: "rkyv", checked: true }),
    (RKYV, Program::Peer { binary: "rkyv", ending: "rkyv", checked: false }),
];
pub(crate) const TEXT: &str = "built from text";
pub(crate) const BINCODE: &str = "bincode 2";
pub(crate) const RKYV: &str = "rkyv, mapped, unchecked";
const CRATES: &[(&str, &str)] = &[
    ("segmenter", "jieba-rs, dictionary"),
    ("user-agents", "uaparser, patterns, warmed"),
    ("highlighter", "syntect, warmed"),
    ("words", "aho-corasick, 100,000 words"),
];

/// How many entries rustc compiles in: more take it minutes and gigabytes.
pub(crate) fn baked_counts(size: Size) -> (usize, usize) {
    match size {
        Size::Quick => (100_000, 20_000),
        Size::Full => (1_000_000, 100_000),
    }
}

/// The row that all others are compared with.
pub(crate) fn empty() -> Row {
    Row::new(EMPTY, "empty", Program::Empty(&[]), 0)
}

/// All rows of a table.
pub(crate) fn rows(table: Table, size: Size) -> Vec<Row> {
    let mut rows = vec![
        empty(),
        Row::new("the same once more", "empty", Program::Empty(&[]), 0),
        Row::new(EMPTY_STATIC, "empty", Program::Empty(STATIC), 0),
        Row::new(IDLE, "idle", Program::Plain("idle"), 0),
    ];
    match table {
        Table::Strings | Table::Map => rows.extend(formats(table.name(), size)),
        Table::Crates => rows.extend(CRATES.iter().flat_map(|(binary, name)| of_crate(binary, name))),
    }
    rows
}

fn formats(workload: &'static str, size: Size) -> Vec<Row> {
    let row = |name: &str, program, look_ups| Row::new(name, workload, program, look_ups);
    let mut rows: Vec<Row> = PEERS.iter().map(|(name, program)| row(name, *program, LOOK_UPS)).collect();
    let (strings, words) = baked_counts(size);
    let baked = |binary, name: &str, count| Row {
        name: format!("{name} of {} entries", thousands(count)),
        count: Some(count),
        ..row("", Program::Baked(binary), LOOK_UPS)
    };
    if workload == "strings" {
        rows.push(row("rkyv, embedded, unchecked", Program::Baked("rkyv-strings"), LOOK_UPS));
        rows.push(baked("static-strings", "`static &[&str]`", strings));
    } else {
        rows.push(row("rkyv, embedded, unchecked", Program::Baked("rkyv-map"), LOOK_UPS));
        rows.push(baked("phf-map", "`static` phf map", words));
    }
    for look_ups in [0, LOOK_UPS] {
        rows.push(row(FASTBOOT_COLD, Program::Cold { binary: workload, flags: &[] }, look_ups));
    }
    for (name, flags) in FASTBOOT {
        for look_ups in [0, LOOK_UPS] {
            rows.push(row(name, Program::Fastboot { binary: workload, flags }, look_ups));
        }
    }
    rows.push(row(FASTBOOT_TRAINED, Program::Fastboot { binary: workload, flags: TRAINED }, LOOK_UPS));
    for look_ups in [0, LOOK_UPS] {
        rows.push(row("fastboot, snapshot file", Program::Snapshot { binary: workload, flags: &[] }, look_ups));
    }
    rows
}

fn of_crate(binary: &'static str, name: &str) -> [Row; 3] {
    let row = |how: &str, program| Row::new(&format!("{name}: {how}"), binary, program, 1);
    [
        row("built", Program::Cold { binary, flags: &[] }),
        row("fastboot", Program::Fastboot { binary, flags: &[] }),
        row("fastboot `--static`", Program::Fastboot { binary, flags: &["--static"] }),
    ]
}

/// The row that knows the answer to a question that no other row of the table is asked.
pub(crate) fn reference(row: &Row) -> Option<Row> {
    row.count?;
    let (_, text) = PEERS.iter().find(|(name, _)| *name == TEXT)?;
    Some(Row { program: *text, ..row.clone() })
}

/// A number with commas.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(String::from_utf8_lossy);
    let head = (first > 0).then(|| digits[..first].into());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trained_with_what_is_measured() {
        let trained = rows(Table::Strings, Size::Quick).into_iter().find(|row| row.name == FASTBOOT_TRAINED).unwrap();
        assert_eq!(TRAINED.last(), Some(&trained.arguments().join(" ").as_str()));
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(91_400_000), "91,400,000");
    }
}
