//! Map: where a linker says that it put the input sections. The link maps of lld and of GNU ld.

use anyhow::{Result, bail};

/// An input section, and where it came to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputSection<'a> {
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// The file as the linker names it: `object`, or `archive(member)`.
    pub(crate) file: &'a str,
    pub(crate) section: &'a str,
}

/// Reads a link map.
pub(crate) fn parse(text: &str) -> Result<Vec<InputSection<'_>>> {
    let head = text.get(..text.floor_char_boundary(200)).unwrap_or_default();
    if head.trim_start().starts_with("VMA") {
        return Ok(text.lines().skip(1).filter_map(lld_line).collect());
    }
    match text.find("\nLinker script and memory map\n") {
        Some(start) => Ok(gnu(&text[start..])),
        None => bail!("it is no link map of lld or of GNU ld"),
    }
}

/// `VMA LMA Size Align`, and then, further to the right, an output section, an input section, or a symbol.
fn lld_line(line: &str) -> Option<InputSection<'_>> {
    let mut rest = line;
    let mut number = || {
        rest = rest.trim_start_matches(' ');
        let (digits, behind) = rest.split_once(' ')?;
        rest = behind;
        Some(digits)
    };
    let address = u64::from_str_radix(number()?, 16).ok()?;
    number()?;
    let size = u64::from_str_radix(number()?, 16).ok()?;
    number()?;
    let named = rest.strip_prefix("        ").filter(|name| !name.starts_with(' '))?;
    let (file, section) = named.strip_suffix(')')?.rsplit_once(":(")?;
    (file != "<internal>").then_some(InputSection { address, size, file, section })
}

/// ` section address size file`, where the rest stands in a line of its own if the name is long.
fn gnu(text: &str) -> Vec<InputSection<'_>> {
    let mut placed = Vec::new();
    let mut waiting = None;
    for line in text.lines() {
        let name = waiting.take();
        let (section, rest) = match (name, line.strip_prefix(' ')) {
            (Some(section), Some(rest)) if rest.starts_with(' ') => (section, rest.trim_start()),
            (_, Some(rest)) if !rest.starts_with([' ', '*']) => match rest.split_once(' ') {
                Some((section, rest)) => (section, rest.trim_start()),
                None => {
                    waiting = Some(rest);
                    continue;
                }
            },
            _ => continue,
        };
        placed.extend(gnu_place(rest).map(|(address, size, file)| InputSection { address, size, file, section }));
    }
    placed
}

fn gnu_place(text: &str) -> Option<(u64, u64, &str)> {
    let (address, rest) = text.strip_prefix("0x")?.split_once(' ')?;
    let (size, file) = rest.trim_start().strip_prefix("0x")?.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, u64::from_str_radix(size, 16).ok()?, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed<'a>(address: u64, size: u64, file: &'a str, section: &'a str) -> InputSection<'a> {
        InputSection { address, size, file, section }
    }

    #[test]
    fn the_map_of_lld() {
        let map = "             VMA              LMA     Size Align Out     In      Symbol\n\
                   \x20         201d40           201d40    4daf8    16 .rodata\n\
                   \x20         201d40           201d40      ba0    16         <internal>:(.rodata.cst16)\n\
                   \x20         2028e0           2028e0       1c     1         /a b/x.o:(.rodata.one)\n\
                   \x20         2028e0           2028e0       1c     1                 one\n\
                   \x20         2028fc           2028fc       10     4         /lib(s)/libx.rlib(m.o):(.text._ZN3a(b)E)\n";
        assert_eq!(
            parse(map).unwrap(),
            [
                placed(0x2028e0, 0x1c, "/a b/x.o", ".rodata.one"),
                placed(0x2028fc, 0x10, "/lib(s)/libx.rlib(m.o)", ".text._ZN3a(b)E"),
            ]
        );
    }

    #[test]
    fn the_map_of_gnu_ld() {
        let map = "Discarded input sections\n\n .bss           0x0000000000000000        0x0 /x.o\n\
                   \nLinker script and memory map\n\n\
                   .text           0x0000000000401000       0x90\n *(.text.unlikely .text.*_unlikely)\n\
                   \x20.text          0x0000000000401000       0x26 /a b/crt1.o\n\
                   \x20.text._ZN3app4main17h0123456789abcdefE\n                0x0000000000401030       0x55 /l.rlib(m.o)\n\
                   \x20               0x0000000000401030                app::main\n\
                   \x20*fill*         0x0000000000401085        0xb \n";
        assert_eq!(
            parse(map).unwrap(),
            [
                placed(0x40_1000, 0x26, "/a b/crt1.o", ".text"),
                placed(0x40_1030, 0x55, "/l.rlib(m.o)", ".text._ZN3app4main17h0123456789abcdefE"),
            ]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(parse("").is_err());
        assert!(parse("mold map").is_err());
    }
}
