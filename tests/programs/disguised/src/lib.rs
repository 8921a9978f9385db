//! Values that keep the addresses of what they own in another form.

use std::marker::PhantomData;
use std::ptr::with_exposed_provenance;

/// How an address is kept: to a word, and back.
pub trait Form: Send + Sync + 'static {
    /// The word that is kept in place of an address.
    fn disguise(address: usize) -> usize;
    /// The address.
    fn reveal(word: usize) -> usize;
}

/// A number on the heap, whose address is kept in another form, and never freed.
pub struct Hidden<F> {
    word: usize,
    form: PhantomData<F>,
}

impl<F: Form> Hidden<F> {
    /// Puts a number on the heap.
    pub fn new(number: u64) -> Self {
        // Aligned, so that whoever shifts has bits to lose.
        let address = Box::into_raw(Box::new(Aligned(number))).expose_provenance();
        Self { word: F::disguise(address), form: PhantomData }
    }

    /// The number.
    pub fn get(&self) -> u64 {
        // SAFETY: the address of a box that was leaked in `new`, and that nobody changes.
        unsafe { (*with_exposed_provenance::<Aligned>(F::reveal(self.word))).0 }
    }
}

/// A number with room for tags in its address.
#[repr(align(16))]
pub struct Aligned(pub u64);

/// A chain: each element has the address of the next one, in another form.
pub struct Chain<F> {
    first: Link<F>,
}

struct Link<F> {
    word: usize,
    form: PhantomData<F>,
}

#[repr(align(16))]
struct Element<F> {
    number: u64,
    next: Link<F>,
}

impl<F: Form> Chain<F> {
    /// A chain of so many numbers.
    pub fn new(length: u64) -> Self {
        let empty = Link { word: 0, form: PhantomData };
        let first = (0..length).rev().fold(empty, |next, number| {
            let element = Box::into_raw(Box::new(Element { number, next }));
            Link { word: F::disguise(element.expose_provenance()), form: PhantomData }
        });
        Self { first }
    }

    /// The sum of the numbers.
    pub fn sum(&self) -> u64 {
        let (mut sum, mut link) = (0, &self.first);
        while link.word != 0 {
            // SAFETY: the address of a box that was leaked in `new`, and that nobody changes.
            let element = unsafe { &*with_exposed_provenance::<Element<F>>(F::reveal(link.word)) };
            sum += element.number;
            link = &element.next;
        }
        sum
    }
}
