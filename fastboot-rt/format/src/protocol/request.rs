//! Request: what the tool asks of a freeze run.

use super::addresses::{SCRATCH, STACK_TOP};
use super::names::RUNTIME_VERSION;
use crate::features::Mask;
use crate::image::DEFAULT_HOME;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// First line of a request, so that a tool and a runtime of different versions notice each other.
pub const REQUEST_TITLE: &str = concat!("fastboot-freeze ", env!("CARGO_PKG_VERSION"));

/// How a freeze run allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// Everything in one arena at the home address.
    Verbatim = 0,
    /// Everything in the scratch heap, each allocation numbered: what a plan is made of.
    Plan = 1,
    /// According to the plan.
    Place = 2,
}

impl Mode {
    const ALL: [(Self, &'static str); 3] = [(Self::Verbatim, "verbatim"), (Self::Plan, "plan"), (Self::Place, "place")];

    /// The mode with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().map(|(mode, _)| mode).find(|mode| *mode as u32 == number)
    }

    /// Its name, as in a request.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// What the tool asks of a freeze run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How it allocates.
    pub mode: Mode,
    /// First address of the scratch heap.
    pub scratch: u64,
    /// Highest address of the freeze thread's stack.
    pub stack: u64,
    /// Where the arena begins.
    pub home: u64,
    /// Bytes the arena may hold before allocations in it fail.
    pub limit: u64,
    /// Whether the kernel is to randomise addresses: if it is otherwise, the run changes that and executes itself again.
    /// `None`: as it is.
    pub randomize: Option<bool>,
    /// A load bias that the executable's must be well apart from, see [`are_well_apart`](super::are_well_apart); a run whose is not ends with
    /// [`AGAIN`](super::AGAIN).
    pub apart: Option<u64>,
    /// Whether a plan run is to record who made each allocation.
    pub trace: bool,
    /// Whether a plan run is to write down what every block holds, and not only those that may hold addresses: when a program
    /// keeps addresses in another form.
    pub hold_all: bool,
    /// What random bytes follow from while roots are evaluated; `None` for real ones.
    pub seed: Option<u64>,
    /// Processor features that may be seen, as [`crate::features`] numbers them; all of them for no mask at all.
    pub cpu: Mask,
    /// Where the executable has the instruction `cpuid`, as in the file: for processors that cannot have it fault. Empty where
    /// only such a processor will do.
    pub cpuid: Vec<u64>,
    /// In what else the process is to be another than the one that asks.
    pub world: World,
    /// What statics are to hold before anything is evaluated: addresses as in the file, and bytes.
    pub presets: Vec<(u64, Vec<u8>)>,
}

/// What a freeze run changes about its own process before it evaluates anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The umask; `None` for the one that it has.
    pub umask: Option<u32>,
    /// Whether it may run on one processor less, if it has more than one.
    pub fewer_processors: bool,
    /// By how many seconds the time of day is later than it is.
    pub clock: i64,
    /// Whether the working directory has another name.
    pub other_folder: bool,
    /// Whether user and group have other numbers, as far as the process is told.
    pub other_user: bool,
}

impl World {
    /// Reads one line of a request; `None` if it is not understood.
    fn decode(&mut self, name: &str, value: &str) -> Option<()> {
        match (name, value) {
            ("umask" | "processors" | "folder" | "user", "keep") => {}
            ("umask", value) => self.umask = Some(u32::from_str_radix(value.strip_prefix("0o")?, 8).ok()?),
            ("processors", "fewer") => self.fewer_processors = true,
            ("clock", value) => self.clock = value.parse().ok()?,
            ("folder", "other") => self.other_folder = true,
            ("user", "other") => self.other_user = true,
            _ => return None,
        }
        Some(())
    }
}

impl Default for Request {
    /// A verbatim run at the default addresses, with real random bytes and no memory.
    fn default() -> Self {
        Self {
            mode: Mode::Verbatim,
            scratch: SCRATCH[0],
            stack: STACK_TOP[0],
            home: DEFAULT_HOME,
            limit: 0,
            randomize: None,
            apart: None,
            trace: false,
            hold_all: false,
            seed: None,
            cpu: Mask::MAX,
            cpuid: Vec::new(),
            world: World::default(),
            presets: Vec::new(),
        }
    }
}

/// Names of the values of [`Request::randomize`].
const RANDOMIZE: [(&str, Option<bool>); 3] = [("yes", Some(true)), ("no", Some(false)), ("keep", None)];

impl Request {
    /// The request as text.
    pub fn encode(&self) -> String {
        let presets = if self.presets.is_empty() { String::new() } else { encode_presets(&self.presets) };
        format!(
            "{REQUEST_TITLE}\nmode {}\nscratch {:#x}\nstack {:#x}\nhome {:#x}\nlimit {}\nrandomize {}\napart {}\ntrace {}\nhold-all {}\n\
             random {}\ncpu {:#x}\ncpuid{}\numask {}\nprocessors {}\nclock {}\nfolder {}\nuser {}\n{presets}",
            self.mode.name(),
            self.scratch,
            self.stack,
            self.home,
            self.limit,
            RANDOMIZE.into_iter().find(|(_, value)| *value == self.randomize).map_or("", |(name, _)| name),
            self.apart.map_or_else(|| "no".to_owned(), |bias| format!("{bias:#x}")),
            if self.trace { "yes" } else { "no" },
            if self.hold_all { "yes" } else { "no" },
            self.seed.map_or_else(|| "real".to_owned(), |seed| format!("{seed:#x}")),
            self.cpu,
            self.cpuid.iter().fold(String::from(" "), |list, site| format!("{list}{site:x} ")),
            self.world.umask.map_or_else(|| "keep".to_owned(), |mask| format!("{mask:#o}")),
            if self.world.fewer_processors { "fewer" } else { "keep" },
            self.world.clock,
            if self.world.other_folder { "other" } else { "keep" },
            if self.world.other_user { "other" } else { "keep" },
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
                "the freeze request is not `{REQUEST_TITLE}`: cargo-fastboot and fastboot-rt are of different versions; \
                 this program has fastboot-rt {RUNTIME_VERSION}"
            ));
        }
        let mut request = Self::default();
        let hexadecimal = |text: &str| text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        for line in lines {
            let known = match line.split_once(' ') {
                Some(("mode", value)) => {
                    let mode = Mode::ALL.into_iter().find(|(_, name)| *name == value);
                    mode.map(|(mode, _)| request.mode = mode)
                }
                Some(("scratch", value)) => hexadecimal(value).map(|scratch| request.scratch = scratch),
                Some(("stack", value)) => hexadecimal(value).map(|stack| request.stack = stack),
                Some(("home", value)) => hexadecimal(value).map(|home| request.home = home),
                Some(("apart", "no")) | Some(("random", "real")) => Some(()),
                Some(("apart", value)) => hexadecimal(value).map(|bias| request.apart = Some(bias)),
                Some(("random", value)) => hexadecimal(value).map(|seed| request.seed = Some(seed)),
                Some(("cpu", value)) => {
                    let mask = value.strip_prefix("0x").and_then(|digits| Mask::from_str_radix(digits, 16).ok());
                    mask.map(|mask| request.cpu = mask)
                }
                Some(("cpuid", list)) => {
                    let sites = list.split_whitespace().map(|site| u64::from_str_radix(site, 16));
                    sites.collect::<Result<_, _>>().ok().map(|sites| request.cpuid = sites)
                }
                Some(("preset", list)) => {
                    let presets = list.split_whitespace().map(decode_preset);
                    presets.collect::<Option<_>>().map(|presets| request.presets = presets)
                }
                Some(("limit", value)) => value.parse().ok().map(|limit| request.limit = limit),
                Some(("randomize", value)) => {
                    let known = RANDOMIZE.into_iter().find(|(name, _)| *name == value);
                    known.map(|(_, randomize)| request.randomize = randomize)
                }
                Some(("trace", value @ ("yes" | "no"))) => {
                    request.trace = value == "yes";
                    Some(())
                }
                Some(("hold-all", value @ ("yes" | "no"))) => {
                    request.hold_all = value == "yes";
                    Some(())
                }
                Some((name, value)) => request.world.decode(name, value),
                None => None,
            };
            if known.is_none() {
                return Err(format!("freeze request line not understood: `{line}`"));
            }
        }
        Ok(request)
    }
}

/// Their line: addresses, each with its bytes, in hexadecimal.
fn encode_presets(presets: &[(u64, Vec<u8>)]) -> String {
    let mut line = String::from("preset");
    for (address, bytes) in presets {
        line += &format!(" {address:x}:");
        for byte in bytes {
            line += &format!("{byte:02x}");
        }
    }
    line + "\n"
}

fn decode_preset(text: &str) -> Option<(u64, Vec<u8>)> {
    let (address, digits) = text.split_once(':')?;
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = pairs.map(|pair| byte(pair).filter(|_| pair.len() == 2)).collect::<Option<_>>()?;
    Some((u64::from_str_radix(address, 16).ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_journey() {
        for randomize in [Some(true), Some(false), None] {
            let request = Request {
                mode: Mode::Place,
                limit: 1 << 30,
                randomize,
                apart: Some(9),
                trace: true,
                hold_all: true,
                seed: Some(7),
                cpu: 9 << 64,
                cpuid: alloc::vec![0x40_1000, 7],
                world: World {
                    umask: Some(0o77),
                    fewer_processors: true,
                    clock: -7,
                    other_folder: true,
                    other_user: true,
                },
                presets: alloc::vec![(0x40_2000, alloc::vec![0, 0xff, 7]), (8, Vec::new())],
                ..Request::default()
            };
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn a_request_of_another_version_is_refused() {
        assert!(Request::decode("fastboot-freeze 99\n").unwrap_err().contains("different versions"));
        for line in ["home twelve", "preset 8", "preset 8:abc", "preset x:ab"] {
            assert!(Request::decode(&format!("{REQUEST_TITLE}\n{line}\n")).unwrap_err().contains(line));
        }
    }
}
