//! Own: functions of shared libraries that have an address in the executable itself, so that it is the same in every process.
//!
//! Where code that is not position-independent takes the address of such a function (not where it only calls it), linkers put a
//! stub of it into the executable, and that has the function's address for everybody. Position-independent code asks the loader
//! instead, and what it is told is another address in every process, which no image can hold. So for each function whose
//! address the final crate takes, one more object asks for the address in the way that calls for a stub.

use super::linked::Linked;
use super::linker::call;
use anyhow::{Context, Result, ensure};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, Rela64};
use object::read::elf::{FileHeader as _, Rela as _, SectionHeader as _, Sym as _};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What the object is called by the linker's arguments, so that it is not left out.
const NAME: &str = "fastboot_own_functions";
/// What the compiler calls of itself. Where it does so repeatedly it takes the address, too.
const OF_COMPILER: [&str; 5] = ["bcmp", "memcmp", "memcpy", "memmove", "memset"];
/// Relocations for which the loader's answer is read by an instruction.
const ASKED: [elf::RelocationType; 3] = [elf::R_X86_64_GOTPCREL, elf::R_X86_64_GOTPCRELX, elf::R_X86_64_REX_GOTPCRELX];

/// The functions of shared libraries whose addresses the objects among these arguments take, of those that `executable` gets
/// from the loader.
pub(super) fn functions(arguments: &[OsString], executable: &[u8]) -> Result<BTreeSet<String>> {
    let mut imported = Linked::parse(executable)?.imported_functions()?;
    imported.retain(|name| !OF_COMPILER.contains(name));
    let mut found = BTreeSet::new();
    for path in arguments.iter().map(Path::new).filter(|path| path.extension() == Some(OsStr::new("o"))) {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // One for link-time optimisation by the linker is none.
        if bytes.starts_with(&elf::ELFMAG) {
            let taken = taken(&bytes).with_context(|| format!("cannot take {} apart", path.display()))?;
            found.extend(taken.into_iter().filter(|name| imported.contains(name)).map(str::to_owned));
        }
    }
    Ok(found)
}

/// The names of other objects' things whose addresses this one takes.
fn taken(bytes: &[u8]) -> Result<BTreeSet<&str>> {
    let header = FileHeader64::<LE>::parse(bytes)?;
    let sections = header.sections(LE, bytes)?;
    let symbols = sections.symbols(LE, bytes, elf::SHT_SYMTAB)?;
    let mut names = BTreeSet::new();
    for table in sections.iter() {
        let Some((relocations, _)) = table.rela(LE, bytes)? else { continue };
        let section = sections.section(object::SectionIndex(table.sh_info(LE) as usize))?;
        if !section.sh_flags(LE).contains(elf::SHF_ALLOC) {
            continue;
        }
        let contents = section.data(LE, bytes)?;
        for relocation in relocations.iter().filter(|relocation| takes_address(relocation, contents)) {
            let Some(index) = relocation.symbol(LE, false) else { continue };
            let symbol = symbols.symbol(index)?;
            // What may be missing is asked for to find that out.
            if symbol.st_shndx(LE) == elf::SHN_UNDEF && symbol.st_bind() == elf::STB_GLOBAL {
                names.insert(std::str::from_utf8(symbol.name(LE, symbols.strings())?)?);
            }
        }
    }
    Ok(names)
}

/// Whether it is a relocation for an address, and not for a call.
fn takes_address(relocation: &Rela64<LE>, contents: &[u8]) -> bool {
    let kind = relocation.r_type(LE, false);
    let instruction = || {
        let at = usize::try_from(relocation.r_offset(LE)).ok()?;
        contents.get(at.checked_sub(2)?..at)
    };
    // `call *there(%rip)` and `jmp *there(%rip)`.
    let is_call = || matches!(instruction(), Some([0xff, 0x15 | 0x25]));
    kind == elf::R_X86_64_64 || ASKED.contains(&kind) && !is_call()
}

/// Makes the object that gives `functions` addresses in the executable, in `folder`, and returns the arguments that have it linked.
pub(super) fn compile(real: &OsStr, functions: &BTreeSet<String>, folder: &Path) -> Result<[OsString; 2]> {
    std::fs::create_dir_all(folder)?;
    let (source, object) = (folder.join("own.s"), folder.join("own.o"));
    std::fs::write(&source, text(functions))?;
    let output = |path: &PathBuf| path.clone().into_os_string();
    let arguments = ["-c".into(), output(&source), "-o".into(), output(&object)];
    ensure!(call(real, &arguments, &[], true)?.success(), "it does not assemble");
    Ok([object.into(), format!("-Wl,--undefined={NAME}").into()])
}

/// An object with the addresses of these functions among its constants.
fn text(functions: &BTreeSet<String>) -> String {
    let addresses: String = functions.iter().map(|name| format!("\t.quad \"{name}\"\n")).collect();
    format!(
        "\t.section .rodata.{NAME},\"a\",@progbits\n\t.balign 8\n\t.globl {NAME}\n{NAME}:\n{addresses}\
         \t.section .note.GNU-stack,\"\",@progbits\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What one of the C compiler's has in it, made of assembly.
    fn assembled(source: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.s"), folder.path().join("a.o"));
        std::fs::write(&from, source).unwrap();
        assert!(Command::new("cc").arg("-c").arg(&from).arg("-o").arg(&to).status().unwrap().success());
        (folder, to)
    }

    #[test]
    fn an_address_is_not_a_call() {
        let (_folder, object) = assembled(
            "call *called@GOTPCREL(%rip)\njmp *jumped@GOTPCREL(%rip)\ncall plt@PLT\nmov taken@GOTPCREL(%rip), %rax\n\
             cmp %rax, compared@GOTPCREL(%rip)\ncmpq $0, missing@GOTPCREL(%rip)\nmov here@GOTPCREL(%rip), %rax\n\
             .weak missing\n.globl here\nhere: ret\n.data\n.quad pointed\n.section .debug_x\n.quad described\n",
        );
        let bytes = std::fs::read(object).unwrap();
        assert_eq!(taken(&bytes).unwrap(), BTreeSet::from(["taken", "compared", "pointed"]));
    }

    #[test]
    fn the_object_asks_for_each_address() {
        let (_folder, object) = assembled(&text(&["atoi", "odd$name"].map(str::to_owned).into()));
        let bytes = std::fs::read(object).unwrap();
        assert_eq!(taken(&bytes).unwrap(), BTreeSet::from(["atoi", "odd$name"]));
    }
}
