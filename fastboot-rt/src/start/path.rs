//! Path: put together on the stack, because before `main` nothing may allocate.

use super::reason::Reason;
use crate::os::files;
use core::ffi::CStr;
use core::fmt;

/// Longest path in bytes, its zero included, as the kernel takes it.
const PATH_MAX: usize = libc::PATH_MAX as usize;
/// How many bytes of a path's end are worth showing.
const SHOWN: usize = 256;

/// A path in the making. Its last byte is always zero.
#[derive(Clone)]
pub(crate) struct Path {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl Path {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; PATH_MAX], length: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn push(&mut self, text: &[u8]) -> Result<(), Reason> {
        let end = self.length + text.len();
        match self.bytes.get_mut(self.length..end) {
            Some(place) if end < PATH_MAX => place.copy_from_slice(text),
            _ => return Err(Reason::File { call: "use its path", errno: libc::ENAMETOOLONG }),
        }
        self.length = end;
        Ok(())
    }

    /// Makes an empty path that of the folder of the executable, with a `/` at its end.
    pub(crate) fn push_folder_of_executable(&mut self) -> Result<(), Reason> {
        let cannot = Reason::cannot("read the link /proc/self/exe");
        let executable = files::read_link(c"/proc/self/exe", &mut self.bytes).map_err(cannot)?;
        self.length = self.bytes[..executable].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        Ok(())
    }

    /// The path, without what a link that was read left behind it.
    pub(crate) fn as_c_str(&mut self) -> Result<&CStr, Reason> {
        self.bytes[self.length] = 0;
        c_str(&self.bytes[..=self.length])
    }

    /// The first `split` bytes, and those behind the zero that follows them: two paths in one, because each that is put on
    /// the stack costs page faults.
    pub(crate) fn as_c_strs(&mut self, split: usize) -> Result<(&CStr, &CStr), Reason> {
        self.bytes[self.length] = 0;
        let (first, second) = self.bytes[..=self.length].split_at(split + 1);
        Ok((c_str(first)?, c_str(second)?))
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

/// These bytes, the last of which is zero, if no other one is.
fn c_str(bytes: &[u8]) -> Result<&CStr, Reason> {
    CStr::from_bytes_with_nul(bytes).map_err(|_| Reason::File { call: "use its path", errno: libc::EINVAL })
}

/// As much of the end of a path as is worth showing.
pub(crate) fn shown(path: &[u8]) -> impl fmt::Display {
    path.get(path.len().saturating_sub(SHOWN)..).unwrap_or(path).escape_ascii()
}
