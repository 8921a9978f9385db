//! Line: one line on standard error.

use core::fmt;

/// One line on standard error, put together without allocating and written with one call.
pub(crate) struct Line {
    bytes: [u8; 1024],
    length: usize,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }

    /// The line, ended with a newline.
    pub(crate) fn finish(&mut self) -> &[u8] {
        let end = self.length.min(self.bytes.len() - 1);
        self.bytes[end] = b'\n';
        &self.bytes[..=end]
    }

    /// Writes the line. Errors are ignored: there is nobody to tell.
    pub(crate) fn print(mut self) {
        let line = self.finish();
        // SAFETY: a slice is readable.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A longer line is cut, which is better than none.
        for (to, from) in self.bytes[self.length..].iter_mut().zip(text.as_bytes()) {
            *to = *from;
            self.length += 1;
        }
        Ok(())
    }
}
