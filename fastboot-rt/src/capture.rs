//! What passes between the tool and a freeze run: a folder with four files in it.
//!
//! ```text
//! request   tool → runtime   what to do, lines of text
//! status    runtime → tool   one page, mapped shared: the root being evaluated, bytes captured so far
//! capture   runtime → tool   records: roots, memory, how it ended
//! ```
//!
//! Like [`crate::format`], this module does no I/O and has no `unsafe`. The tool makes images out of captures; the
//! runtime only captures.

/// Name of the environment variable that holds the path of the folder and puts the runtime into freeze mode.
pub const FREEZE_VARIABLE: &str = "FASTBOOT_FREEZE";
/// Name of the request file in the folder.
pub const REQUEST_FILE: &str = "request";
/// Name of the status file in the folder.
pub const STATUS_FILE: &str = "status";
/// Name of the capture file in the folder.
pub const CAPTURE_FILE: &str = "capture";

/// First line of a request, so that a tool and a runtime of different versions notice each other.
pub const REQUEST_TITLE: &str = "fastboot-freeze 1";

/// What the tool asks of a freeze run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where the arena begins.
    pub home: u64,
    /// Bytes the arena may hold before allocations in it fail.
    pub limit: u64,
    /// Whether the kernel may randomise addresses (`false`: the run turns that off and executes itself again).
    pub randomize: bool,
    /// What random bytes follow from while roots are evaluated; `None` for real ones.
    pub seed: Option<u64>,
}

impl Request {
    /// The request as text.
    pub fn encode(&self) -> String {
        format!(
            "{REQUEST_TITLE}\nhome {:#x}\nlimit {}\nrandomize {}\nrandom {}\n",
            self.home,
            self.limit,
            if self.randomize { "yes" } else { "no" },
            self.seed.map_or_else(|| "real".to_owned(), |seed| format!("{seed:#x}"))
        )
    }

    /// Reads a request; the error names the line.
    ///
    /// # Errors
    /// A title of another version, a missing or an unknown line.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(REQUEST_TITLE) {
            return Err(format!(
                "the freeze request is not `{REQUEST_TITLE}`: cargo-fastboot and fastboot-rt are of different versions"
            ));
        }
        let mut request = Request { home: 0, limit: 0, randomize: true, seed: None };
        let hexadecimal =
            |text: &str| text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        for line in lines {
            let known = match line.split_once(' ') {
                Some(("home", value)) => hexadecimal(value).map(|home| request.home = home),
                Some(("random", "real")) => Some(()),
                Some(("random", value)) => hexadecimal(value).map(|seed| request.seed = Some(seed)),
                Some(("limit", value)) => value.parse().ok().map(|limit| request.limit = limit),
                Some(("randomize", value @ ("yes" | "no"))) => {
                    request.randomize = value == "yes";
                    Some(())
                }
                _ => None,
            };
            if known.is_none() {
                return Err(format!("freeze request line not understood: `{line}`"));
            }
        }
        Ok(request)
    }
}

/// Size in bytes of the status file.
pub const STATUS_LEN: usize = 4096;
/// Offset of the `u64` number of bytes captured so far.
pub const STATUS_BYTES: usize = 0;
/// Offset of the `u32` number of roots evaluated so far.
pub const STATUS_DONE: usize = 8;
/// Offset of the `u32` number of roots in all.
pub const STATUS_TOTAL: usize = 12;
/// Offset of the `u32` [`Phase`].
pub const STATUS_PHASE: usize = 16;
/// Offset of the `u32` length of the name of the root being evaluated; the name follows.
pub const STATUS_NAME: usize = 20;

/// How far a freeze run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// The process has not reached freeze mode.
    Starting = 0,
    /// A root is being evaluated: the one named in the status.
    Evaluating = 1,
    /// All roots are there; the capture is being written.
    Writing = 2,
    /// The capture is complete.
    Done = 3,
}

/// A status page, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes captured so far.
    pub bytes: u64,
    /// Roots evaluated.
    pub done: u32,
    /// Roots in all.
    pub total: u32,
    /// How far the run has come.
    pub phase: Phase,
    /// Name of the root being evaluated; empty between roots.
    pub root: String,
}

impl Status {
    /// Reads a status page.
    pub fn decode(page: &[u8; STATUS_LEN]) -> Self {
        let u32_at = |at: usize| page[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        let length = u32_at(STATUS_NAME) as usize;
        let name = page[STATUS_NAME + 4..].get(..length).unwrap_or(&[]);
        Self {
            bytes: page[STATUS_BYTES..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b)),
            done: u32_at(STATUS_DONE),
            total: u32_at(STATUS_TOTAL),
            phase: match u32_at(STATUS_PHASE) {
                1 => Phase::Evaluating,
                2 => Phase::Writing,
                3 => Phase::Done,
                _ => Phase::Starting,
            },
            root: String::from_utf8_lossy(name).into_owned(),
        }
    }
}

/// Size in bytes of what stands before each record in the capture: `u32` tag, `u32` zero, `u64` payload length in
/// bytes. Payloads are padded with zeros to a multiple of eight.
pub const RECORD_HEADER_LEN: usize = 16;

/// What a record of the capture holds. Strings are a `u32` length and as many bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tag {
    /// `u64` load bias of the executable, its `u64` end, `u64` processor features, `u64` home address.
    Process = 1,
    /// `u64` value address, `u64` size, `u64` alignment, `u64` nanoseconds it took, name, type name.
    Root = 2,
    /// `u64` address, then the bytes that stood there.
    Memory = 3,
    /// The root being evaluated, the message, where: the last panic. Fatal unless [`Tag::End`] follows.
    Panic = 4,
    /// The root being evaluated, `u64` bytes asked for, `u64` limit: the arena was full.
    OutOfMemory = 5,
    /// Nothing: the capture is complete.
    End = 6,
    /// A sentence: why the run could not begin.
    Refused = 7,
}

impl Tag {
    /// The tag with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Process, Self::Root, Self::Memory, Self::Panic, Self::OutOfMemory, Self::End, Self::Refused]
            .into_iter()
            .find(|tag| *tag as u32 == number)
    }
}

/// Reads the payload of a record, field by field; `None` past the end.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    rest: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Begins at the first field.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field, a number.
    pub fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*first))
    }

    /// The next field, a string; bytes that are not UTF-8 are replaced.
    pub fn string(&mut self) -> Option<String> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_journey() {
        let request = Request { home: 0x5500_0000_0000, limit: 1 << 30, randomize: false, seed: Some(7) };
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn a_request_of_another_version_is_refused() {
        assert!(Request::decode("fastboot-freeze 99\n").unwrap_err().contains("different versions"));
        assert!(Request::decode("fastboot-freeze 1\nhome twelve\n").unwrap_err().contains("home twelve"));
    }

    #[test]
    fn a_payload_ends_where_it_ends() {
        let bytes = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'o', b'k'];
        let mut payload = Payload::new(&bytes);
        assert_eq!(payload.number(), Some(1));
        assert_eq!(payload.string().as_deref(), Some("ok"));
        assert_eq!(payload.number(), None);
        assert_eq!(Payload::new(&[255, 255, 255, 255, 0]).string(), None);
    }
}
