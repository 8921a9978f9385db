//! Values that hold code: closures, function pointers, trait objects, thunks.

use crate::answer;
use fastboot_rt::Frozen;
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use witness::evaluated;

type Function = Box<dyn Fn(u64) -> u64 + Send + Sync>;
type Named = (&'static str, fn(u64) -> u64);
type Thunk = Box<dyn FnOnce() -> String + Send>;

fastboot_rt::frozen! {
    /// Closures that own strings.
    static CLOSURES: Vec<Function> = evaluated("CLOSURES", || (0..1000).map(closure).collect());

    /// Plain functions, by name.
    static FUNCTIONS: Vec<Named> = evaluated("FUNCTIONS", functions);

    /// The static of another root, by reference.
    static ANOTHER: (&'static Frozen<Vec<Named>>, Vec<u64>) = evaluated("ANOTHER", || (&FUNCTIONS, vec![2, 3]));

    /// Objects of different types behind one trait.
    static SHAPES: Vec<Box<dyn Shape>> = evaluated("SHAPES", shapes);

    /// A value that is put off until after the thaw.
    static PUT_OFF: LazyLock<Vec<String>> = evaluated("PUT_OFF", put_off);

    /// One whose closure owns what it was made of.
    static PUT_OFF_WITH: LazyLock<String, Thunk> = evaluated("PUT_OFF_WITH", put_off_with);
}

/// How often a plain function was called in this process.
static CALLS: AtomicU64 = AtomicU64::new(0);

fn closure(number: u64) -> Function {
    let owned = format!("closure {number}");
    if number.is_multiple_of(2) {
        Box::new(move |argument| argument * number + owned.len() as u64)
    } else {
        Box::new(move |argument| owned.bytes().map(u64::from).sum::<u64>() ^ argument)
    }
}

fn functions() -> Vec<Named> {
    vec![("twice", twice), ("thrice", thrice), ("count_ones", |number| number.count_ones().into())]
}

fn shapes() -> Vec<Box<dyn Shape>> {
    vec![Box::new(Square(3)), Box::new(Circle { radius: 2, name: "round".to_owned() })]
}

fn put_off() -> LazyLock<Vec<String>> {
    LazyLock::new(|| vec!["forced".to_owned(); 3])
}

fn put_off_with() -> LazyLock<String, Thunk> {
    let parts = ["made", "of", "parts"].map(str::to_owned);
    LazyLock::new(Box::new(move || parts.join(" ")))
}

fn twice(number: u64) -> u64 {
    CALLS.fetch_add(1, Ordering::Relaxed);
    number * 2
}

fn thrice(number: u64) -> u64 {
    CALLS.fetch_add(1, Ordering::Relaxed);
    number * 3
}

trait Shape: fmt::Debug + Send + Sync {
    fn area(&self) -> u64;
}

#[derive(Debug)]
struct Square(u64);

#[derive(Debug)]
struct Circle {
    radius: u64,
    name: String,
}

impl Shape for Square {
    fn area(&self) -> u64 {
        self.0 * self.0
    }
}

impl Shape for Circle {
    fn area(&self) -> u64 {
        3 * self.radius * self.radius + self.name.len() as u64
    }
}

pub(crate) fn run() {
    answer("CLOSURES", CLOSURES.iter().map(|function| function(21)).fold(0, u64::wrapping_add));
    // A function that is composed of frozen ones, and dropped again.
    let composed: Function = Box::new(|argument| CLOSURES[2](CLOSURES[1](argument)));
    answer("CLOSURES, composed", composed(5));
    drop(composed);

    for (name, function) in &*FUNCTIONS {
        answer("FUNCTIONS", format_args!("{name} {}", function(21)));
    }
    // By value, not by address: whether the linker merges functions is its own business.
    answer("FUNCTIONS, calls counted", CALLS.load(Ordering::Relaxed));

    let (functions, numbers) = &*ANOTHER;
    answer("ANOTHER", format_args!("{} {}", functions.len(), functions[0].1(numbers[1])));

    let areas: Vec<_> = SHAPES.iter().map(|shape| shape.area()).collect();
    answer("SHAPES", format_args!("{:?} {areas:?}", *SHAPES));

    answer("PUT_OFF", format_args!("{:?}", **PUT_OFF));
    answer("PUT_OFF, forced again", format_args!("{}", PUT_OFF.len()));
    answer("PUT_OFF_WITH", format_args!("{:?}", **PUT_OFF_WITH));

    witness::sources!(CLOSURES, FUNCTIONS, ANOTHER, SHAPES, PUT_OFF, PUT_OFF_WITH);
}
