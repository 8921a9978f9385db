//! Names: what a symbol says about the static it stands for.
//!
//! The crate that owns a static is the one whose source has it. Both manglings begin with its path, except inside of
//! `impl` blocks. The v0 mangling then names the module of the block first; the legacy one does not, so the crate is
//! taken to be the first in the header that the block may be in by the orphan rule.

/// A symbol, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// As in Rust source, without hashes; the symbol itself if it is not Rust's.
    pub(crate) text: String,
    /// The crate that owns it; `None` if it is not Rust's.
    pub(crate) crate_name: Option<String>,
}

impl Name {
    /// Takes a symbol apart.
    pub(crate) fn of(symbol: &str) -> Self {
        Self::rust(symbol).unwrap_or_else(|| Self { text: symbol.to_owned(), crate_name: None })
    }

    fn rust(symbol: &str) -> Option<Self> {
        let mangled = rust_symbol(symbol)?;
        // The legacy mangling has `.` for what it has no escape for, such as the `-` of `->`.
        let text = format!("{:#}", rustc_demangle::try_demangle(mangled).ok()?).replace(".>", "->");
        let crate_name = v0_crate(mangled).or_else(|| crate_of_path(&text))?.to_owned();
        Some(Self { text: without_inherent_brackets(text), crate_name: Some(crate_name) })
    }
}

/// Whether `entry`, of a list of the user's, means what is called `path`: it is the whole path, or its last name.
pub(crate) fn means(entry: &str, path: &str) -> bool {
    entry == path || entry == last_name(path)
}

/// `SIZE` of `app::pool::SIZE`.
pub(crate) fn last_name(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or_default()
}

/// Crates whose statics belong to the running process: they are never carried, whatever the user chooses.
const OF_THE_PROCESS: &[&str] = &[
    // Threads, arguments, standard streams, hooks and locks of this process. What a carried `LazyLock` needs (the state
    // of its `Once`, its poison flag) lies in the `LazyLock` itself.
    "std",
    "core",
    "alloc",
    "std_detect",        // features of the CPU this process runs on
    "backtrace_rs",      // mapped debug information
    "compiler_builtins", // CPU detection of atomics and memory functions
    "panic_unwind",
    "panic_abort",
    "unwind",
    "__rustc", // names of the compiler's own, such as the allocator's
    "rustc_std_workspace_core",
    "fastboot_rt", // freeze mode, and what the thaw itself writes
    "getrandom",   // found in this process: a function of libc, a descriptor of /dev/urandom
    "libc",
];

/// Whether a crate's statics belong to the running process.
pub(crate) fn is_of_the_process(crate_name: &str) -> bool {
    OF_THE_PROCESS.contains(&crate_name)
}

/// A Rust symbol without what LLVM appended: `.llvm.` and a number for one that was made global, `.` and a number for
/// each of the parts of a static that was split.
pub(crate) fn rust_symbol(symbol: &str) -> Option<&str> {
    if symbol.starts_with("_R") { symbol.split('.').next() } else { legacy_symbol(symbol) }
}

/// Whether the symbol is of a part of a static that LLVM split.
pub(crate) fn is_part(symbol: &str) -> bool {
    let suffix = rust_symbol(symbol).and_then(|mangled| symbol.strip_prefix(mangled));
    suffix.is_some_and(|suffix| !suffix.is_empty() && !suffix.starts_with(".llvm."))
}

/// What is in `impl krate::Type` is `<krate::Type>::NAME` in one mangling and `krate::Type::NAME` in the other; here it
/// is the latter in both, so that one name in a list will do.
fn without_inherent_brackets(path: String) -> String {
    let header = || {
        let inside = path.strip_prefix('<')?;
        let header = &inside[..end_of_brackets(inside)?];
        let is_path = header.starts_with(|first: char| first.is_alphabetic() || first == '_') && header.contains("::");
        (is_path && !has_trait(header)).then(|| (header, &inside[header.len() + 1..]))
    };
    match header() {
        Some((header, rest)) => format!("{header}{rest}"),
        None => path,
    }
}

/// Whether the header of an `impl` block is `Type as Trait`.
fn has_trait(header: &str) -> bool {
    let outside = header.match_indices(" as ").filter(|(at, _)| {
        let before = header[..*at].replace("->", "");
        before.matches('<').count() == before.matches('>').count()
    });
    outside.count() != 0
}

/// The legacy symbol without what follows it: `_ZN`, lengths and identifiers, `E`. C++ begins its symbols alike; what
/// makes it Rust's is the hash at its end.
fn legacy_symbol(symbol: &str) -> Option<&str> {
    let mut rest = symbol.strip_prefix("_ZN")?;
    let mut last = "";
    while !rest.starts_with('E') {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let length: usize = rest[..digits].parse().ok()?;
        last = rest[digits..].get(..length)?;
        rest = rest[digits..].get(length..)?;
    }
    let hash = last.strip_prefix('h')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| &symbol[..symbol.len() - rest.len() + 1])
}

/// The crate at the root of a v0 symbol's path. The path of an `impl` block comes first, before its types.
///
/// Grammar: <https://doc.rust-lang.org/rustc/symbol-mangling/v0.html>.
fn v0_crate(mangled: &str) -> Option<&str> {
    let path = mangled.strip_prefix("_R")?;
    let mut at = path.bytes().take_while(u8::is_ascii_digit).count();
    let mut limit = path.len();
    loop {
        let (tag, rest) = path.get(at..).and_then(|rest| Some((*rest.as_bytes().first()?, rest.get(1..)?)))?;
        match tag {
            // A crate root: disambiguator and identifier.
            b'C' => return v0_identifier(after_disambiguator(rest)?),
            // An item: a tag for its namespace, the path it is in, and then its identifier.
            b'N' => at += 2,
            // Generic arguments follow the path.
            b'I' => at += 1,
            // An inherent, a trait `impl`: disambiguator and path of the block, and then the types.
            b'M' | b'X' => at = path.len() - after_disambiguator(rest)?.len(),
            b'B' => {
                // What it refers to has no reference but to what is before it, or this would never end.
                if at >= limit {
                    return None;
                }
                limit = at;
                at = usize::try_from(base_62(rest)?.0).ok()?;
            }
            _ => return None,
        }
    }
}

fn after_disambiguator(text: &str) -> Option<&str> {
    match text.strip_prefix('s') {
        Some(number) => Some(base_62(number)?.1),
        None => Some(text),
    }
}

/// A number of digits, lower case and upper case letters, ended by `_`; and what follows it.
fn base_62(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = text.split_once('_')?;
    let mut number = 0_u64;
    for digit in digits.bytes() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'z' => digit - b'a' + 10,
            b'A'..=b'Z' => digit - b'A' + 36,
            _ => return None,
        };
        number = number.checked_mul(62)?.checked_add(value.into())?;
    }
    // The number 0 has no digits at all, and all others are one less than they are.
    let number = if digits.is_empty() { 0 } else { number.checked_add(1)? };
    Some((number, rest))
}

/// `None` for identifiers beyond ASCII too: they are easier to read after demangling.
fn v0_identifier(text: &str) -> Option<&str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length: usize = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    rest.strip_prefix('_').unwrap_or(rest).get(..length)
}

/// The crate of a demangled path.
fn crate_of_path(path: &str) -> Option<&str> {
    let Some(header) = path.strip_prefix('<') else {
        return path.split_once("::").map(|(first, _)| first);
    };
    let header = &header[..end_of_brackets(header)?];
    // In order: the type and its arguments, the trait and its arguments. A type of std's can only be here with a trait
    // or an argument of the crate that has the block.
    let crates = || crates_in(header);
    crates().find(|name| !is_of_the_process(name)).or_else(|| crates().next())
}

/// The crates in the header of the `impl` block that a path begins with.
pub(crate) fn crates_of_block(path: &str) -> impl Iterator<Item = &str> {
    let header = path.strip_prefix('<').and_then(|inside| inside.get(..end_of_brackets(inside)?));
    crates_in(header.unwrap_or_default())
}

/// Where the `>` is that ends what `<` began.
fn end_of_brackets(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut previous = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' if previous == '-' => {}
            '>' if depth == 0 => return Some(at),
            '>' => depth -= 1,
            _ => {}
        }
        previous = character;
    }
    None
}

/// The first names of all the paths in a text, such as the header of an `impl` block.
fn crates_in(text: &str) -> impl Iterator<Item = &str> {
    let separators = |character: char| !(character.is_alphanumeric() || matches!(character, '_' | ':'));
    let paths = text.split(separators).filter(|path| !path.starts_with(':'));
    paths.filter_map(|path| path.split_once("::").map(|(first, _)| first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(symbol: &str, text: &str, crate_name: Option<&str>) {
        let name = Name::of(symbol);
        assert_eq!((name.text.as_str(), name.crate_name.as_deref()), (text, crate_name), "{symbol}");
    }

    #[test]
    fn legacy_symbols() {
        check("_ZN4maps4LAZY17h0123456789abcdefE", "maps::LAZY", Some("maps"));
        check(
            "_ZN62_$LT$fn$LP$u8$RP$$u20$.$GT$$u20$t..Plain$u20$as$u20$t..Def$GT$4name5IN_FN17ha715476142f633d7E",
            "<fn(u8) -> t::Plain as t::Def>::name::IN_FN",
            Some("t"),
        );
        check(
            "_ZN4maps7generic28_$u7b$$u7b$closure$u7d$$u7d$3INC17h0123456789abcdefE",
            "maps::generic::{{closure}}::INC",
            Some("maps"),
        );
    }

    #[test]
    fn what_llvm_appends_is_gone() {
        for suffix in [".0", ".1", ".b", ".llvm.600693272366938852", ".0.llvm.1", ".0.0"] {
            check(&format!("_ZN3log6LOGGER17h0123456789abcdefE{suffix}"), "log::LOGGER", Some("log"));
            check(&format!("_RNvCs1234_7mycrate3FOO{suffix}"), "mycrate::FOO", Some("mycrate"));
        }
    }

    #[test]
    fn symbols_of_c_and_cxx_are_not_rusts() {
        for symbol in ["main_arena", "blockCompressor.1", "_ZN3foo3barE", "_ZN3foo17hello_world_again", "_R", "_ZN", ""]
        {
            check(symbol, symbol, None);
        }
    }

    #[test]
    fn v0_symbols() {
        check("_RNvNCNvCs8RGPP1tOTCc_4maps7generic03INC", "maps::generic::{closure#0}::INC", Some("maps"));
        check("_RNvNvXCs8RGPP1tOTCc_4mapsNtB4_1XNtB4_1T1f6NESTED", "<maps::X as maps::T>::f::NESTED", Some("maps"));
        check(
            "_RNvNvXs_Cs8RGPP1tOTCc_4mapsINtNtCslNYArtu3iFV_5alloc3vec3VechENtB6_1T1f7NESTED2",
            "<alloc::vec::Vec<u8> as maps::T>::f::NESTED2",
            Some("maps"),
        );
        check(
            "_RNvNCNvMsi_NtNtCsjcC6FzbY31o_14regex_automata4meta5regexNtB9_6Config17get_pool_capacity0\
             21AVAILABLE_PARALLELISM",
            "regex_automata::meta::regex::Config::get_pool_capacity::{closure#0}::AVAILABLE_PARALLELISM",
            Some("regex_automata"),
        );
    }

    #[test]
    fn inherent_impl_blocks_lose_their_brackets() {
        for (path, plain) in [
            ("<a::b::C>::f::S", "a::b::C::f::S"),
            ("<a::C<a::D as a::T>>::f::S", "a::C<a::D as a::T>::f::S"),
            ("<a::C as a::T>::f::S", "<a::C as a::T>::f::S"),
            ("<a::C<a::D> as a::T>::f::S", "<a::C<a::D> as a::T>::f::S"),
            ("<[u8]>::f::S", "<[u8]>::f::S"),
            ("<str>::f::S", "<str>::f::S"),
        ] {
            assert_eq!(without_inherent_brackets(path.to_owned()), plain);
        }
    }

    #[test]
    fn backward_references_end() {
        assert_eq!(v0_crate("_RNvB_1X"), None);
        assert_eq!(v0_crate("_RNvB0_1X"), None);
        assert_eq!(v0_crate("_RNvNvB1_1a1X"), None);
    }

    #[test]
    fn impl_blocks() {
        for (path, crate_name) in [
            ("<maps::X as maps::T>::f::NESTED", Some("maps")),
            ("<alloc::vec::Vec<u8> as maps::T>::f::NESTED", Some("maps")),
            ("<alloc::vec::Vec<u8> as core::convert::From<&maps::X>>::from::S", Some("maps")),
            ("<env_logger::logger::Logger as log::Log>::log::F", Some("env_logger")),
            ("<fn(maps::X) -> u8 as core::ops::Fn<T>>::call::S", Some("maps")),
            ("<T as maps::T>::f::S", Some("maps")),
            ("<std::thread::id::ThreadId>::new::COUNTER", Some("std")),
            ("core::num::<impl u64>::f::S", Some("core")),
            ("<T>::f", None),
            ("<broken", None),
            ("alone", None),
        ] {
            assert_eq!(crate_of_path(path), crate_name, "{path}");
        }
    }
}
