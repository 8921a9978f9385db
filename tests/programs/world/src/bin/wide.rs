//! Values as wide as a word, each chosen by a variable of which a copy is allocated where it is set.

fastboot_rt::install!();

/// Colours, each as red, green, blue, and how opaque.
#[derive(Debug)]
struct Theme {
    heading: [u8; 4],
    text: [u8; 4],
}

/// Two choices side by side, in one word.
#[derive(Debug)]
struct Choices {
    color: u32,
    fast: u32,
}

const COLORED: Theme = Theme { heading: [97, 175, 239, 255], text: [171, 178, 191, 255] };
const PLAIN: Theme = Theme { heading: [255; 4], text: [255; 4] };

/// What a line is drawn with.
type Draw = fn(usize) -> String;

fn colored(width: usize) -> String {
    format!("\x1b[32m{}\x1b[0m", "=".repeat(width))
}

fn plain(width: usize) -> String {
    "-".repeat(width)
}

/// Whether colours are wanted.
fn is_colored() -> bool {
    std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}

/// How many columns there are.
fn columns() -> Option<f64> {
    std::env::var("COLUMNS").ok()?.parse().ok()
}

fastboot_rt::frozen! {
    static THEME: Theme = if is_colored() { COLORED } else { PLAIN };
    static WIDTH: f64 = columns().unwrap_or(80.0);
    static CHOICES: Box<Choices> =
        Box::new(Choices { color: is_colored().into(), fast: is_x86_feature_detected!("avx2").into() });
    static DRAW: Draw = if is_colored() { colored } else { plain };
    static PALETTE: Option<Box<Theme>> = is_colored().then(|| Box::new(COLORED));
    static LEVEL: &'static str = match std::env::var("RUST_LOG").as_deref() {
        Ok("debug") => "DEBUG",
        _ => "ERROR",
    };
    static ASKED: Vec<u64> = {
        // Asked for, and nothing made of it.
        let _ = (is_colored(), columns());
        (1..100).map(|number| number << 40).collect()
    };
}

fn main() {
    let Choices { color, fast } = **CHOICES;
    println!("{:?} {:?} {} {color} {fast} {}", THEME.heading, THEME.text, *WIDTH, DRAW(3));
    println!("{:?} {} {}", *PALETTE, *LEVEL, ASKED.len());
}
