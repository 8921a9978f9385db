//! One run: what is asked for, the times, and the answer.

use std::io::{Read, Write};

/// One run of a measured program: made in the first line of `main`, finished in the last one.
#[derive(Debug)]
pub struct Run {
    look_ups: usize,
    order: Order,
    seed: u64,
    count: Option<usize>,
    passes: usize,
    wait: bool,
    silent: bool,
    answer: u64,
    /// Nanoseconds on the monotonic clock, which is the same in all processes: start of `main`, value there, end of each
    /// pass.
    times: [u64; 8],
    noted: usize,
}

/// In which order entries are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All over the value.
    Random,
    /// From the first one on.
    Sequential,
}

impl Run {
    /// Notes the time and reads the arguments.
    ///
    /// ```text
    /// --look-ups N         how many entries are looked up (default: none, and the value is not touched at all)
    /// --order ORDER        random (the default) or sequential
    /// --seed N             which random ones
    /// --count N            only the first N entries of the value count
    /// --passes N           the look-ups are repeated, and each pass timed
    /// --wait               having answered, wait until standard input ends
    /// --silent             the first argument: neither ask for the time nor print anything
    /// ```
    pub fn start() -> Self {
        let silent = std::env::args_os().nth(1).is_some_and(|first| first == "--silent");
        let began = if silent { 0 } else { now() };
        let mut run = Self {
            look_ups: 0,
            order: Order::Random,
            seed: 0,
            count: None,
            passes: 1,
            wait: false,
            silent,
            answer: 0xcbf2_9ce4_8422_2325,
            times: [0; 8],
            noted: 0,
        };
        run.note(began);
        let mut arguments = std::env::args().skip_while(|argument| !argument.starts_with("--"));
        while let Some(name) = arguments.next() {
            if name == "--wait" || name == "--silent" {
                run.wait |= name == "--wait";
                continue;
            }
            let value = arguments.next().unwrap_or_default();
            match (name.as_str(), value.parse(), value.as_str()) {
                ("--look-ups", Ok(number), _) => run.look_ups = number,
                ("--seed", Ok(number), _) => run.seed = number as u64,
                ("--count", Ok(number), _) => run.count = Some(number),
                ("--passes", Ok(number), _) => run.passes = number,
                ("--order", _, "random") => run.order = Order::Random,
                ("--order", _, "sequential") => run.order = Order::Sequential,
                _ => {
                    eprintln!("`{name} {value}` makes no sense");
                    std::process::exit(2);
                }
            }
        }
        run
    }

    /// Whether the value is to be touched.
    pub fn touches(&self) -> bool {
        self.look_ups > 0
    }

    /// Notes that the value is there, then calls `look_up` with each number below `count` that is asked for.
    pub fn look_up(&mut self, count: usize, mut look_up: impl FnMut(usize, &mut Answer)) {
        self.note_now();
        let count = self.count.map_or(count, |most| most.min(count));
        for _ in 0..self.passes {
            let mut answer = Answer(self.answer);
            match self.order {
                Order::Random => {
                    let mut numbers = Numbers::new(self.seed);
                    (0..self.look_ups).for_each(|_| look_up(numbers.below(count), &mut answer));
                }
                Order::Sequential => {
                    let mut indices = (0..count).cycle();
                    (0..self.look_ups).for_each(|_| look_up(indices.next().unwrap_or(0), &mut answer));
                }
            }
            self.answer = answer.0;
            self.note_now();
        }
    }

    fn note_now(&mut self) {
        if !self.silent {
            self.note(now());
        }
    }

    fn note(&mut self, time: u64) {
        if let Some(free) = self.times.get_mut(self.noted) {
            *free = time;
            self.noted += 1;
        }
    }

    /// Prints the answer and the times, in one line, and ends the program; nothing is dropped.
    pub fn finish(mut self) -> ! {
        if self.silent {
            std::hint::black_box(self.answer);
            std::process::exit(0);
        }
        if self.noted == 1 {
            self.note(now());
        }
        let times: String = self.times[..self.noted].iter().map(|time| format!(" {time}")).collect();
        let written = std::io::stdout().write_all(format!("{:016x}{times}\n", self.answer).as_bytes());
        if self.wait {
            let _ = std::io::stdin().read(&mut [0]);
        }
        std::process::exit(i32::from(written.is_err()))
    }
}

/// A digest of all that was looked up: programs that saw the same have the same one.
#[derive(Debug)]
pub struct Answer(u64);

impl Answer {
    /// Looks at every byte, eight at a time: it is memory that is to be measured, not arithmetic.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.number(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.number(u64::from(*byte)));
    }

    /// Looks at a number.
    pub fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

/// Pseudo-random numbers, the same ones for the same seed.
#[derive(Debug)]
struct Numbers(u64);

impl Numbers {
    /// Those of a seed.
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one, below `end`, which is below 2^32.
    fn below(&mut self, end: usize) -> usize {
        // A counter whose bits are stirred, so that near seeds have nothing in common.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        for _ in 0..2 {
            bits = (bits ^ (bits >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        }
        (((bits >> 32) * end as u64) >> 32) as usize
    }
}

/// Nanoseconds on the monotonic clock.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a variable that is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
