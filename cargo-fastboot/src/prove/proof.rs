//! Proof: what the comparison of two runs says of an image's words.

use crate::prove::disguise::Disguised;
use crate::prove::foreign::Foreign;
use crate::prove::regions::{Region, Run, WORD};

/// How many words that differ are kept.
const MOST_DIFFERENCES: usize = 1 << 20;
/// How many addresses in another form are kept.
const MOST_DISGUISED: usize = 1 << 20;

/// What the comparison of two runs says of their image data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Offsets in the data of the words that move with the executable, ascending.
    pub(crate) static_pointers: Vec<u64>,
    /// Offsets of the words that move with the image, ascending.
    pub(crate) image_pointers: Vec<u64>,
    /// The words that hold what the dynamic linker put into a word of the executable: offset in the data, ascending, and the place
    /// of that word in the executable.
    pub(crate) bound: Vec<(u64, u64)>,
    /// How many words are addresses of temporaries and of stack frames, or what is left of an address.
    pub(crate) dead: u64,
    /// How many of these may be part of an address in the executable.
    pub(crate) parts: u64,
    /// The words that are addresses of memory outside of image and executable, as far as can be told.
    pub(crate) suspects: Vec<Suspect>,
    /// The words that differ but are no addresses: clocks, random numbers. If there are more than a million, some of the
    /// last ones.
    pub(crate) differences: Vec<Varying>,
    /// Whether there are more.
    pub(crate) is_cut_off: bool,
    /// Words of which it is not known whether they move.
    pub(crate) unclear: Vec<Unclear>,
    /// Whether the executable lay where it lay in the first run, or not all words are in both: addresses in it cannot be told
    /// from numbers then.
    pub(crate) stayed: bool,
    /// Whether the executable moved by a multiple of 2 MiB: nothing is known then of the bits below.
    pub(crate) aligned: bool,
    /// The words that are addresses in another form. Not more than a million of them.
    pub(crate) disguised: Vec<Disguised>,
}

/// A word that is another one in the other run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Varying {
    /// Offset of the word in the image data.
    pub(crate) offset: u64,
    /// What it was in the two runs.
    pub(crate) values: [u64; 2],
}

/// A word that could be an address in the image that is kept, differs in the other run, and moved with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unclear {
    /// Offset of the word in the image data.
    pub(crate) offset: u64,
    /// What it could be an address of: the executable or the image.
    pub(crate) region: Region,
    /// Whether it could be one in the other run as well.
    pub(super) in_both: bool,
    /// Whether it stands, as it is, somewhere else in the other run, and the address that it would be there does not: a number
    /// in a hash table that is in another order. Of words that are not aligned nobody looks.
    pub(super) is_number: bool,
}

/// A word that is, or looks like, the address of memory that the embedded program will not have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// Offset of the word in the image data.
    pub(crate) offset: u64,
    /// What it points at.
    pub(crate) what: String,
    /// Whether it is improbable that it is garbage: stack frames leave addresses of all kinds in the unused parts of
    /// objects, but that of a function's beginning, or of a thread-local, hardly alone.
    pub(crate) certain: bool,
    /// Whether it points at something that is known to be in use, wherever the word stands.
    pub(crate) held: bool,
}

impl Proof {
    /// What the comparison of other words, which lie behind, says.
    pub(super) fn add(&mut self, other: Self) {
        self.static_pointers.extend(other.static_pointers);
        self.image_pointers.extend(other.image_pointers);
        self.dead += other.dead;
        self.parts += other.parts;
        self.suspects.extend(other.suspects);
        self.differences.extend(other.differences);
        self.is_cut_off |= other.is_cut_off;
        self.cut_off();
        other.disguised.into_iter().for_each(|disguised| self.take_disguised(disguised));
        other.unclear.into_iter().for_each(|unclear| self.take_unclear(unclear));
    }

    /// The first of the unclear words that could be an address of `region`.
    pub(crate) fn unclear_in(&self, region: Region) -> Option<&Unclear> {
        self.unclear.iter().find(|unclear| unclear.region == region)
    }

    /// Offsets of the words that may be addresses in the executable: those that moved with it, and those of which it is not
    /// known that they did not. So are those that are in another place in the other run, or another address there.
    pub(crate) fn addresses_in_executable(&self) -> impl Iterator<Item = u64> {
        let is_one = |unclear: &&Unclear| {
            let may_be_one = unclear.in_both || !unclear.is_number && unclear.offset.is_multiple_of(WORD as u64);
            unclear.region == Region::Executable && may_be_one
        };
        self.static_pointers.iter().copied().chain(self.unclear.iter().filter(is_one).map(|unclear| unclear.offset))
    }

    /// Settles what is unclear by the proof that another run gave for the same image.
    ///
    /// What moved with its region there is a pointer. What is unclear there too, but was an address of the executable in
    /// all three runs, is one as well: the executable was somewhere else in each of them, and nothing else follows it
    /// around. What is the same in both, or was overwritten, is data.
    pub(crate) fn settle(&mut self, other: &Self) {
        self.aligned |= other.aligned;
        for unclear in std::mem::take(&mut self.unclear) {
            let (mine, theirs) = match unclear.region {
                Region::Executable => (&mut self.static_pointers, &other.static_pointers),
                _ => (&mut self.image_pointers, &other.image_pointers),
            };
            let there =
                other.unclear.iter().find(|there| (there.offset, there.region) == (unclear.offset, unclear.region));
            let in_all = there.is_some_and(|there| there.in_both && unclear.in_both);
            let followed = in_all && unclear.region == Region::Executable;
            if followed || theirs.binary_search(&unclear.offset).is_ok() {
                let at = mine.partition_point(|offset| *offset < unclear.offset);
                mine.insert(at, unclear.offset);
            } else if there.is_some() {
                self.unclear.push(unclear);
            }
        }
        // Which function a pointer means can depend on what was different in the one run, so that it seems overwritten. What
        // moved as a whole in the other one is a pointer.
        self.static_pointers.extend(&other.static_pointers);
        self.static_pointers.sort_unstable();
        self.static_pointers.dedup();
    }

    /// Forgets the first of the words that differ, if there are too many. Statics lie last: of these all are kept.
    fn cut_off(&mut self) {
        let surplus = self.differences.len().saturating_sub(MOST_DIFFERENCES);
        if surplus > 0 {
            self.is_cut_off = true;
            self.differences.drain(..surplus);
        }
    }

    pub(super) fn take_disguised(&mut self, disguised: Disguised) {
        // Neighbours see the same word.
        let is_known = self.disguised.last().is_some_and(|last| last.offset == disguised.offset);
        match disguised.region {
            // Of these nothing is in use.
            Region::Stack | Region::ThreadLocals => self.dead += 1,
            _ if is_known || self.disguised.len() == MOST_DISGUISED => {}
            _ => self.disguised.push(disguised),
        }
    }

    pub(super) fn differ(&mut self, at: usize, first: Run<'_>, second: Run<'_>) {
        if self.differences.len() == 2 * MOST_DIFFERENCES {
            self.cut_off();
        }
        let values = [first, second].map(|run| run.word(at).unwrap_or(0));
        self.differences.push(Varying { offset: at as u64, values });
    }

    pub(super) fn take(&mut self, region: Region, at: u64, first: Run<'_>) {
        match region {
            Region::Image => self.image_pointers.push(at),
            Region::Executable => self.static_pointers.push(at),
            // The handle of a thread is an address at the end of its stack.
            Region::Scratch | Region::Stack => match first.word(at as usize).and_then(|word| first.known.at(word)) {
                Some(known) => self.suspect(known, at as usize, first),
                None => self.dead += 1,
            },
            Region::ThreadLocals => {
                let known = first.word(at as usize).and_then(|word| first.known.at(word));
                let known = known.unwrap_or_else(|| Foreign::Other("a thread-local".to_owned()));
                self.suspect(known, at as usize, first);
            }
        }
    }

    /// Keeps an unclear word, unless it is known.
    pub(super) fn take_unclear(&mut self, unclear: Unclear) {
        // Neighbours see the same word.
        if !self.unclear.iter().rev().take(2 * WORD).any(|own| own.offset == unclear.offset) {
            self.unclear.push(unclear);
        }
    }

    /// The word at an offset of the image data is this address; it depends on what it stands next to.
    pub(super) fn suspect(&mut self, foreign: Foreign, at: usize, first: Run<'_>) {
        let remains = first.is_among_remains(at);
        let held = matches!(foreign, Foreign::Held(_));
        let (what, certain) = match foreign {
            Foreign::Held(what) => (what, true),
            Foreign::Named(what) => (what, !remains),
            Foreign::Left(_) if at < first.objects && !first.known.values.contains(&(at as u64)) => {
                self.dead += 1;
                return;
            }
            Foreign::Other(_) if remains => {
                self.dead += 1;
                return;
            }
            Foreign::Other(what) | Foreign::Left(what) => (what, false),
        };
        self.suspects.push(Suspect { offset: at as u64, what, certain, held });
    }
}
