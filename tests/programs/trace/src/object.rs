//! Objects: bytes, held in all the ways in which memory is held, and lists of them.

use crate::model::Content;
use crate::noise::{self, Noise};
use crate::operation::{Operation, Random, SLOTS, bytes};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// A value and what it needs to hold its bytes.
pub(crate) enum Object {
    Nothing,
    Plain(Vec<u8>),
    /// Each byte is a character.
    Text(String),
    /// Each byte in a box of its own.
    #[expect(clippy::vec_box, reason = "many small allocations are what this is for")]
    Single(Vec<Box<u8>>),
    /// On a cache line.
    Line(Box<Line>),
    /// On a page.
    Page(Box<Page>),
    Shared(Arc<Vec<u8>>),
    Tagged(Tagged),
    Packed(Box<Packed>),
    End(End),
    Inside(Inside),
    Raw(Raw),
    Code(Closure),
    /// The bytes in eights, the first ones first.
    Chain(Option<Box<Link>>),
    Map(BTreeMap<u32, Box<u8>>),
    Linked(Box<Linked>),
    List(Vec<Object>),
}

// SAFETY: each object owns what its raw pointers point to, shares it with nobody, and has no thread's own things in it.
unsafe impl Send for Object {}

/// A function that adds its bytes to others.
type Closure = Box<dyn Fn(&mut Vec<u8>) + Send>;

#[repr(align(64))]
pub(crate) struct Line(Vec<u8>);

#[repr(align(4096))]
pub(crate) struct Page(Vec<u8>);

/// A `Box<Vec<u8>>` as a number: bits of its address that are always zero hold others, low ones, high ones, or both.
pub(crate) struct Tagged(usize);

const LOW: usize = align_of::<Vec<u8>>() - 1;
const ADDRESS: usize = ((1 << 48) - 1) & !LOW;

impl Tagged {
    fn new(bytes: Vec<u8>, tags: usize) -> Self {
        let address = Box::into_raw(Box::new(bytes)).expose_provenance();
        assert_eq!(address & !ADDRESS, 0);
        Self(address | tags & !ADDRESS)
    }

    fn pointer(&self) -> *mut Vec<u8> {
        ptr::with_exposed_provenance_mut(self.0 & ADDRESS)
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        // SAFETY: it came from `Box::into_raw`, and was not freed before.
        drop(unsafe { Box::from_raw(self.pointer()) });
    }
}

/// A pointer that is not aligned.
#[repr(C, packed)]
pub(crate) struct Packed {
    before: u8,
    pointer: *mut Vec<u8>,
    between: [u8; 2],
    after: *mut Vec<u8>,
}

impl Packed {
    fn new(bytes: Vec<u8>) -> Self {
        let rest = bytes[bytes.len() / 2..].to_vec();
        let first = bytes[..bytes.len() / 2].to_vec();
        let pointer = |bytes| Box::into_raw(Box::new(bytes));
        Self { before: 0x55, pointer: pointer(first), between: [0xaa; 2], after: pointer(rest) }
    }

    fn bytes(&self) -> Vec<u8> {
        let (first, rest, between) = (self.pointer, self.after, self.between);
        assert_eq!((self.before, between), (0x55, [0xaa; 2]));
        // SAFETY: both came from `Box::into_raw` and belong to this object.
        unsafe { [&(&*first)[..], &(&*rest)[..]].concat() }
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        for pointer in [self.pointer, self.after] {
            // SAFETY: it came from `Box::into_raw`, and was not freed before.
            drop(unsafe { Box::from_raw(pointer) });
        }
    }
}

/// A `Box<[u8]>` of which only the end is known, where the next object may begin.
pub(crate) struct End {
    end: *mut u8,
    length: usize,
}

impl End {
    fn new(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        let start = Box::into_raw(bytes.into_boxed_slice()).cast::<u8>();
        // SAFETY: one past the end of the allocation.
        Self { end: unsafe { start.add(length) }, length }
    }

    fn slice(&self) -> *mut [u8] {
        // SAFETY: back to the start of the allocation.
        ptr::slice_from_raw_parts_mut(unsafe { self.end.sub(self.length) }, self.length)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // SAFETY: it came from `Box::into_raw`, and was not freed before.
        drop(unsafe { Box::from_raw(self.slice()) });
    }
}

/// A `Box<[u8]>` of which only a byte in the middle is known.
pub(crate) struct Inside {
    middle: *mut u8,
    before: u32,
    after: u32,
}

impl Inside {
    fn new(bytes: Vec<u8>) -> Self {
        let (before, length) = (bytes.len() / 2, bytes.len());
        let start = Box::into_raw(bytes.into_boxed_slice()).cast::<u8>();
        // SAFETY: inside the allocation, or at its only address.
        Self { middle: unsafe { start.add(before) }, before: before as u32, after: (length - before) as u32 }
    }

    fn slice(&self) -> *mut [u8] {
        let (before, after) = (self.before as usize, self.after as usize);
        // SAFETY: back to the start of the allocation.
        ptr::slice_from_raw_parts_mut(unsafe { self.middle.sub(before) }, before + after)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // SAFETY: it came from `Box::into_raw`, and was not freed before.
        drop(unsafe { Box::from_raw(self.slice()) });
    }
}

/// Memory of any size and alignment, also smaller than its alignment.
pub(crate) struct Raw {
    block: NonNull<u8>,
    layout: Layout,
    length: usize,
}

impl Raw {
    fn new(bytes: &[u8]) -> Self {
        let align = 1 << (bytes.len() % 13);
        let layout = Layout::from_size_align(bytes.len().max(1), align).expect("a small layout");
        // Every other one asks for zeros, and must get them.
        let zeroed = bytes.len().is_multiple_of(2);
        // SAFETY: the layout is not empty; what is read of a block was written, or is zero.
        let block = unsafe {
            let block = if zeroed { std::alloc::alloc_zeroed(layout) } else { std::alloc::alloc(layout) };
            let block = NonNull::new(block).unwrap_or_else(|| std::alloc::handle_alloc_error(layout));
            if zeroed {
                let zeros = std::slice::from_raw_parts(block.as_ptr(), layout.size());
                assert!(zeros.iter().all(|byte| *byte == 0), "zeros were asked for");
            }
            block.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            block
        };
        Self { block, layout, length: bytes.len() }
    }

    fn bytes(&self) -> Vec<u8> {
        assert!(self.block.addr().get().is_multiple_of(self.layout.align()), "{:p}: {:?}", self.block, self.layout);
        // SAFETY: so many bytes were written to the block.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.length) }.to_vec()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and not freed before.
        unsafe { std::alloc::dealloc(self.block.as_ptr(), self.layout) };
    }
}

pub(crate) struct Link {
    bytes: [u8; 8],
    used: u8,
    next: Option<Box<Link>>,
}

/// Bytes, and what the executable has to do with them.
pub(crate) struct Linked {
    name: &'static str,
    decode: fn(u8) -> u8,
    /// The address of one of `CODES`, with bits in front.
    code: usize,
    bytes: Box<[u8]>,
}

type Code = (&'static str, fn(u8) -> u8);

static CODES: [Code; 3] = [("plain", |byte| byte), ("inverted", |byte| !byte), ("mirrored", u8::reverse_bits)];

/// Bits that no address has.
const BOX: usize = 0xfff8 << 48;

const KINDS: usize = 17;

impl Object {
    /// Bytes, held in one of the ways there are.
    fn new(kind: usize, bytes: Vec<u8>) -> Self {
        match kind % KINDS {
            0 => Self::Plain(bytes),
            // A few hundred small objects are as good as thousands.
            2 | 14 | 15 if bytes.len() > 300 => Self::Plain(bytes),
            1 => Self::Text(bytes.iter().map(|byte| char::from(*byte)).collect()),
            2 => Self::Single(bytes.iter().map(|byte| Box::new(*byte)).collect()),
            3 => Self::Line(Box::new(Line(bytes))),
            4 if kind.is_multiple_of(4) => Self::Page(Box::new(Page(bytes))),
            4 | 5 => Self::Shared(Arc::new(bytes)),
            6 => Self::Tagged(Tagged::new(bytes, LOW)),
            7 => Self::Tagged(Tagged::new(bytes, BOX)),
            8 => Self::Tagged(Tagged::new(bytes, usize::MAX)),
            9 => Self::Packed(Box::new(Packed::new(bytes))),
            10 => Self::End(End::new(bytes)),
            11 => Self::Inside(Inside::new(bytes)),
            12 => Self::Raw(Raw::new(&bytes)),
            13 => Self::Code(Box::new(move |to| to.extend_from_slice(&bytes))),
            14 => {
                let link = |next, bytes: &[u8]| {
                    let mut eight = [0; 8];
                    eight[..bytes.len()].copy_from_slice(bytes);
                    Some(Box::new(Link { bytes: eight, used: bytes.len() as u8, next }))
                };
                Self::Chain(bytes.chunks(8).rev().fold(None, link))
            }
            15 => Self::Map((0..).zip(bytes.iter().map(|byte| Box::new(*byte))).collect()),
            _ => {
                let code = &CODES[bytes.len() % CODES.len()];
                let (name, decode) = *code;
                // Each is its own inverse.
                let bytes = bytes.into_iter().map(decode).collect();
                Self::Linked(Box::new(Linked {
                    name,
                    decode,
                    code: (&raw const *code).expose_provenance() | BOX,
                    bytes,
                }))
            }
        }
    }

    fn kind(&self) -> usize {
        match self {
            Self::Nothing | Self::List(_) | Self::Plain(_) => 0,
            Self::Text(_) => 1,
            Self::Single(_) => 2,
            Self::Line(_) => 3,
            Self::Page(_) => 4,
            Self::Shared(_) => 5,
            Self::Tagged(_) => 6,
            Self::Packed(_) => 9,
            Self::End(_) => 10,
            Self::Inside(_) => 11,
            Self::Raw(_) => 12,
            Self::Code(_) => 13,
            Self::Chain(_) => 14,
            Self::Map(_) => 15,
            Self::Linked(_) => 16,
        }
    }

    /// What the object holds, which must be where it may be.
    pub(crate) fn content(&self) -> Content {
        Content::Bytes(match self {
            Self::Nothing => return Content::Nothing,
            Self::List(list) => return Content::List(list.iter().map(Self::content).collect()),
            Self::Plain(bytes) => bytes.clone(),
            Self::Text(text) => text.chars().map(|character| character as u8).collect(),
            Self::Single(boxes) => boxes.iter().map(|byte| **byte).collect(),
            Self::Line(line) => {
                require_aligned(&raw const **line);
                line.0.clone()
            }
            Self::Page(page) => {
                require_aligned(&raw const **page);
                page.0.clone()
            }
            Self::Shared(bytes) => bytes.to_vec(),
            // SAFETY: the object owns the vector, and nobody else has a reference to it.
            Self::Tagged(tagged) => unsafe { (*tagged.pointer()).clone() },
            Self::Packed(packed) => packed.bytes(),
            // SAFETY: the object owns the slice.
            Self::End(end) => unsafe { (*end.slice()).to_vec() },
            // SAFETY: the object owns the slice.
            Self::Inside(inside) => unsafe { (*inside.slice()).to_vec() },
            Self::Raw(raw) => raw.bytes(),
            Self::Code(code) => {
                let mut bytes = Vec::new();
                code(&mut bytes);
                bytes
            }
            Self::Chain(first) => {
                let links = std::iter::successors(first.as_deref(), |link| link.next.as_deref());
                links.flat_map(|link| &link.bytes[..link.used.into()]).copied().collect()
            }
            Self::Map(map) => (0..map.len() as u32).map(|key| *map[&key]).collect(),
            Self::Linked(linked) => {
                let code = &CODES[linked.bytes.len() % CODES.len()];
                assert_eq!(linked.name, code.0);
                assert_eq!(linked.code & !BOX, (&raw const *code).addr());
                linked.bytes.iter().map(|byte| (linked.decode)(*byte)).collect()
            }
        })
    }

    fn bytes(&self) -> Vec<u8> {
        match self.content() {
            Content::Bytes(bytes) => bytes,
            _ => Vec::new(),
        }
    }

    /// Changes the bytes, where they are if that is possible. For what holds bytes.
    fn change(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Nothing | Self::List(_) => {}
            Self::Plain(bytes) => change(bytes),
            Self::Line(line) => change(&mut line.0),
            Self::Page(page) => change(&mut page.0),
            Self::Shared(bytes) => change(Arc::make_mut(bytes)),
            // SAFETY: the object owns the vector, and is borrowed for as long as this lasts.
            Self::Tagged(tagged) => change(unsafe { &mut *tagged.pointer() }),
            _ => {
                let (kind, mut bytes) = (self.kind(), self.bytes());
                // Freed before the new one is made, so that memory is used again.
                *self = Self::Nothing;
                change(&mut bytes);
                *self = Self::new(kind, bytes);
            }
        }
    }

    fn copy(&self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::List(list) => Self::List(list.iter().map(Self::copy).collect()),
            Self::Shared(bytes) => Self::Shared(Arc::clone(bytes)),
            _ => Self::new(self.kind(), self.bytes()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // No recursion: chains may be long.
        let mut next = self.next.take();
        while let Some(mut link) = next {
            next = link.next.take();
        }
    }
}

fn require_aligned<T>(pointer: *const T) {
    assert!(pointer.addr().is_multiple_of(align_of::<T>()), "{pointer:p} is not aligned to {}", align_of::<T>());
}

/// All slots of a trace, empty.
pub(crate) fn empty() -> Vec<Object> {
    (0..SLOTS).map(|_| Object::Nothing).collect()
}

/// Does what the operations say.
pub(crate) fn follow<'operations>(slots: &mut [Object], operations: &'operations [Operation], noise: Noise) {
    for operation in operations {
        match operation {
            Operation::Make { slot, kind, seed, length } => slots[*slot] = Object::new(*kind, bytes(*seed, *length)),
            Operation::Drop { slot } => slots[*slot] = Object::Nothing,
            Operation::Append { slot, seed, length } => match &mut slots[*slot] {
                Object::List(list) => list.push(Object::new(*seed as usize, bytes(*seed, *length))),
                // One by one: this is how vectors grow.
                object => object.change(|old| bytes(*seed, *length).into_iter().for_each(|byte| old.push(byte))),
            },
            Operation::Halve { slot } => match &mut slots[*slot] {
                Object::List(list) => list.truncate(list.len() / 2),
                object => object.change(|old| old.truncate(old.len() / 2)),
            },
            Operation::Fit { slot } => match &mut slots[*slot] {
                Object::List(list) => list.shrink_to_fit(),
                Object::Text(text) => text.shrink_to_fit(),
                object => object.change(Vec::shrink_to_fit),
            },
            Operation::Reserve { slot, more } => match &mut slots[*slot] {
                Object::List(list) => list.reserve(*more),
                Object::Text(text) => text.reserve(*more),
                object => object.change(|old| old.reserve(*more)),
            },
            Operation::Move { from, to } => {
                let object = std::mem::replace(&mut slots[*from], Object::Nothing);
                slots[*to] = object;
            }
            Operation::Copy { from, to } => slots[*to] = slots[*from].copy(),
            Operation::Gather { from, to } => {
                let object = std::mem::replace(&mut slots[*from], Object::Nothing);
                match &mut slots[*to] {
                    Object::List(list) => list.push(object),
                    other => {
                        let first = std::mem::replace(other, Object::Nothing);
                        *other = Object::List(vec![first, object]);
                    }
                }
            }
            Operation::Threads { slot, parts } => {
                let mut given = std::mem::replace(&mut slots[*slot], Object::Nothing);
                slots[*slot] = std::thread::scope(|scope| {
                    let start = |part: &'operations Vec<Operation>| {
                        let first = std::mem::replace(&mut given, Object::Nothing);
                        scope.spawn(move || {
                            let mut slots = empty();
                            slots[0] = first;
                            follow(&mut slots, part, noise);
                            Object::List(slots)
                        })
                    };
                    let threads: Vec<_> = parts.iter().map(start).collect();
                    Object::List(threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect())
                });
            }
            Operation::Differ { slot, seed } => differ(&mut slots[*slot], *seed, noise),
        }
    }
}

/// Does something else in every run.
fn differ(object: &mut Object, seed: u64, noise: Noise) {
    // Most traces are the same in every run.
    if !seed.is_multiple_of(4) {
        return;
    }
    match noise.kind {
        noise::Kind::Nothing => {}
        noise::Kind::Extra => {
            let mut random = Random::new(seed ^ noise.run);
            let temporaries: Vec<Vec<u8>> =
                (0..random.below(9)).map(|_| Vec::with_capacity(random.below(99))).collect();
            black_box(temporaries);
        }
        noise::Kind::Swap => object.change(|bytes| {
            let mut pair = [bytes.clone(), bytes.clone()];
            *bytes = std::mem::take(&mut pair[(noise.run % 2) as usize]);
        }),
        noise::Kind::Slack => object.change(|bytes| bytes.reserve_exact(noise.run as usize * 4096)),
    }
}
