//! Footer: the second place an image may be, appended to the executable's file.
//!
//! ```text
//! │ ELF header │ segments │ … │ section headers │ zeros │ image │ footer, 32 bytes │
//!                                                       file offset: a multiple of 2 MiB
//! ```
//!
//! Nobody loads it: the thaw maps it. So it needs no segment, and binaries can have one that were linked without
//! fastboot's linker script.

use super::reason::Reason;
use super::relocate::Stored;
use crate::os::files::Descriptor;
use fastboot_format::image::{FOOTER_LEN, Footer};

/// The image at the end of the executable.
pub(crate) fn image() -> Result<Stored, Reason> {
    let cannot = Reason::cannot("open /proc/self/exe");
    let file = Descriptor::open(None, c"/proc/self/exe", libc::O_RDONLY).map_err(cannot)?;
    let size = file.status().map_err(cannot)?.st_size as u64;
    let at = size.checked_sub(FOOTER_LEN as u64).ok_or(Reason::NoFooter)?;
    let mut bytes = [0; FOOTER_LEN];
    if file.read_at(&mut bytes, at).map_err(cannot)? != FOOTER_LEN {
        return Err(Reason::NoFooter);
    }
    let footer = Footer::decode(&bytes, size).map_err(Reason::Format)?.ok_or(Reason::NoFooter)?;
    Ok(Stored { file, offset: footer.offset, length: footer.length })
}
