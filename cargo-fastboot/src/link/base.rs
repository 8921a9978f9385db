//! Base: where an executable that is not position-independent is linked to be: a little below its image, and far above what
//! numbers in data are like.
//!
//! rustc is told to make a position-independent one, so that all code can be anywhere and the C compiler takes start files
//! that can; then the linker is told not to. What comes of it is an executable for one address, without relocations. Each
//! linker has words of its own for that, which are tried one after the other. Where none of them leads to such an executable,
//! because the linker knows them not or something can only be at low addresses, a plain one is linked.

use super::linked::Linked;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Where the executable begins. The C library's heap begins behind it, or behind the image if that is embedded, at a
/// distance of up to 1 GiB: with 4 GiB between the executable and the first home address, even the largest one, of 2 GiB, and its
/// twin have room for theirs. Not more, because emulators keep account of each page in between.
const HIGH: u64 = 0x54ff_0000_0000;

/// What the options are called with which linkers are told where an executable begins: lld and mold, GNU ld and gold.
pub(super) const OPTIONS: [&str; 2] = ["--image-base=", "-Ttext-segment="];
/// With which they are told that it is for no other address, in the same order. GNU ld would shorten instructions to what then
/// is too far away.
const FIXED: [&str; 2] = ["--no-pie", "-no-pie,--no-relax"];

/// The argument by which a compiler tells the linker that an executable begins at `address`, with one of [`OPTIONS`].
pub(super) fn at(option: &str, address: u64) -> OsString {
    format!("-Wl,{option}{address:#x}").into()
}

/// The arguments of links that come to the same program, at other addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ways {
    /// To be at high addresses, best first.
    pub(super) high: Vec<Vec<OsString>>,
    /// To be where the linker puts executables by itself, best first.
    pub(super) low: Vec<Vec<OsString>>,
}

impl Ways {
    /// The ways to link an executable that rustc wants to be position-independent and that is not to be. `all` is what
    /// `arguments` come to if those in files are counted.
    pub(super) fn new(arguments: &[OsString], all: &[OsString]) -> Self {
        let with = |more: &[OsString]| [arguments, more].concat();
        if all.iter().any(|argument| argument == "-static-pie") {
            return Self { high: Vec::new(), low: vec![with(&["-static".into(), "-no-pie".into()])] };
        }
        if !all.iter().any(|argument| argument == "-pie") {
            return Self::as_asked(arguments);
        }
        let low = vec![with(&["-no-pie".into()])];
        if all.iter().any(|argument| keeps_low(argument)) {
            return Self { high: Vec::new(), low };
        }
        let words = FIXED.into_iter().zip(OPTIONS);
        let high = words.map(|(fixed, base)| with(&[format!("-Wl,{fixed}").into(), at(base, HIGH)]));
        Self { high: high.collect(), low }
    }

    /// The one that was asked for.
    pub(super) fn as_asked(arguments: &[OsString]) -> Self {
        Self { high: Vec::new(), low: vec![arguments.to_vec()] }
    }

    /// These, or else others.
    pub(super) fn or(mut self, others: Self) -> Self {
        self.high.extend(others.high);
        self.low.extend(others.low);
        self
    }
}

/// Whether an executable cannot be at high addresses with this argument, or is said to be elsewhere.
fn keeps_low(argument: &OsStr) -> bool {
    let bytes = argument.as_bytes();
    // In a C library inside there are calls of functions that are not, at address 0, which is then too far away. And
    // ThreadSanitizer does not keep account of everything.
    if matches!(bytes, b"-static" | b"-fsanitize=thread")
        || Path::new(argument).file_name().is_some_and(|name| name.as_bytes().ends_with(b"rt.tsan.a"))
    {
        return true;
    }
    let elsewhere = ["image-base", "Ttext", "Tdata", "Tbss", "Trodata-segment", "section-start", "no-pie", "nopie"];
    // One of the compiler, such as `-no-pie`, or those in `-Wl,--image-base=0x10000,..`.
    bytes.split(|byte| *byte == b',').any(|part| {
        let option = part.strip_prefix(b"--").or(part.strip_prefix(b"-"));
        option.is_some_and(|option| elsewhere.iter().any(|name| option.starts_with(name.as_bytes())))
    })
}

/// Whether an executable is what was to become of it at high addresses.
pub(super) fn is_high(executable: &[u8]) -> bool {
    Linked::parse(executable).is_ok_and(|linked| {
        !linked.is_position_independent() && linked.loads().first().is_some_and(|(start, ..)| *start == HIGH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn ways(text: &str) -> Ways {
        Ways::new(&list(text), &list(text))
    }

    #[test]
    fn what_would_be_position_independent_is_put_high() {
        let found = ways("-m64 a.o -pie -o app");
        assert_eq!(found.low, [list("-m64 a.o -pie -o app -no-pie")]);
        assert_eq!(
            found.high,
            [
                list("-m64 a.o -pie -o app -Wl,--no-pie -Wl,--image-base=0x54ff00000000"),
                list("-m64 a.o -pie -o app -Wl,-no-pie,--no-relax -Wl,-Ttext-segment=0x54ff00000000"),
            ]
        );
        // As they are found in a file.
        let (short, all) = (list("@arguments"), list("a.o -pie -o app"));
        assert_eq!(Ways::new(&short, &all).low, [list("@arguments -no-pie")]);
    }

    #[test]
    fn what_is_to_be_elsewhere_is_left_there() {
        assert_eq!(ways("a.o -no-pie -o app"), Ways::as_asked(&list("a.o -no-pie -o app")));
        assert_eq!(ways("a.o -static-pie -o app").low, [list("a.o -static-pie -o app -static -no-pie")]);
        for argument in [
            "-Wl,--image-base=0x10000000",
            "-Wl,-O1,-Ttext=0x600000",
            "-Wl,-Ttext-segment,0x600000",
            "-Wl,--section-start=.data=0x800000",
            "-Wl,-no-pie",
            "-no-pie",
            "-static",
            "-static-pie",
            "/rustlib/librustc-nightly_rt.tsan.a",
        ] {
            let found = ways(&format!("-m64 a.o -pie {argument} -o app"));
            assert!(found.high.is_empty() && found.low[0].ends_with(&list("-no-pie")), "{argument}: {found:?}");
        }
        // Names of files.
        for argument in ["/home/Ttext/a.o", "-L/no-pie", "image-base.o", "-Wl,-T/t/section-start.ld"] {
            assert_eq!(ways(&format!("-m64 a.o -pie {argument} -o app")).high.len(), 2, "{argument}");
        }
    }
}
