//! What the user sees on standard error: status lines, warnings and errors in cargo's style.
//!
//! Standard output is never written here: it belongs to cargo's messages and to `inspect`.

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

const STATUS: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WAITING: Style = AnsiColor::Cyan.on_default().bold();

/// Columns that a status verb is right-aligned to, as in cargo.
const VERB_WIDTH: usize = 12;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Warnings and errors only.
    Quiet,
    /// Status lines too.
    Normal,
    /// Paths and reasons too.
    Verbose,
}

/// Writes to standard error as cargo does.
#[derive(Debug)]
pub(crate) struct Shell {
    verbosity: Verbosity,
    color: ColorChoice,
    /// The warnings that were given: each is given once.
    warnings: Arc<Mutex<HashSet<String>>>,
}

impl Shell {
    /// A shell that says as much as `verbosity`, with colours if `color` and the terminal allow them.
    pub(crate) fn new(verbosity: Verbosity, color: ColorChoice) -> Self {
        // Settled once, so that everything agrees on it: the flag, else what standard error is.
        let color = match color {
            ColorChoice::Auto => AutoStream::choice(&std::io::stderr()),
            chosen => chosen,
        };
        Self { verbosity, color, warnings: Arc::default() }
    }

    /// A shell like this one that only gives warnings, and none that this one gave: for work that is done a second time.
    pub(crate) fn quiet(&self) -> Self {
        Self { verbosity: Verbosity::Quiet, color: self.color, warnings: Arc::clone(&self.warnings) }
    }

    /// A line with a green verb, such as `   Embedding 91.2 MB`; nothing when quiet.
    pub(crate) fn status(&self, verb: &str, message: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.line(format_args!("{STATUS}{verb:>VERB_WIDTH$}{STATUS:#} {message}"));
        }
    }

    /// A line for those who asked with `-v`.
    pub(crate) fn verbose(&self, message: impl Display) {
        if self.is_verbose() {
            self.line(format_args!("{:VERB_WIDTH$} {message}", ""));
        }
    }

    /// A warning; said even when quiet.
    pub(crate) fn warn(&self, message: impl Display) {
        let message = message.to_string();
        if self.warnings.lock().unwrap_or_else(PoisonError::into_inner).insert(message.clone()) {
            self.line(format_args!("{WARNING}warning{WARNING:#}: {message}"));
        }
    }

    /// An error and what caused it, outermost first.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.line(format_args!("{ERROR}error{ERROR:#}: {error}"));
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        if !causes.is_empty() {
            self.line(format_args!("\nCaused by:"));
        }
        for cause in causes {
            self.line(format_args!("  {}", cause.replace('\n', "\n  ")));
        }
    }

    /// Whether `-v` was given.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity >= Verbosity::Verbose
    }

    /// Whether colours are shown on standard error.
    pub(crate) fn has_colors(&self) -> bool {
        !matches!(self.color, ColorChoice::Never)
    }

    /// A line that comes and goes, for work that takes long; `verb` says which.
    pub(crate) fn progress(&self, verb: &'static str) -> Progress {
        let shown = self.verbosity >= Verbosity::Normal && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Progress { bar, verb, style: if self.has_colors() { WAITING } else { Style::new() } }
    }

    /// Writes one line. That standard error is closed is no reason to stop.
    fn line(&self, text: std::fmt::Arguments<'_>) {
        let mut stream = AutoStream::new(std::io::stderr(), self.color).lock();
        let _ = writeln!(stream, "{text}");
    }
}

/// A transient line on the terminal; nothing when standard error is not a terminal, or when quiet.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    verb: &'static str,
    style: Style,
}

impl Progress {
    /// Shows the verb, such as `Freezing`, and `message`, such as `INDEX 12 s, 340.1 MB`.
    pub(crate) fn update(&self, message: &str) {
        let Self { bar, verb, style } = self;
        let message = format!("{style}{verb:>VERB_WIDTH$}{style:#} {message}");
        if bar.message() != message {
            bar.set_message(message);
        }
    }

    /// Takes the line away. Must come before any other line is written.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A number of bytes for people, in powers of ten: `91.2 MB`, `812.3 kB`, `17 bytes`.
pub(crate) fn megabytes(bytes: u64) -> String {
    // From this many bytes on, one decimal of the smaller unit would round up to 1000.0.
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..999_950 => format!("{:.1} kB", bytes as f64 / 1e3),
        999_950..999_950_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A number for people: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let read = [(17, "17 bytes"), (812_300, "812.3 kB"), (999_999, "1.0 MB"), (91_200_000, "91.2 MB")];
        for (bytes, expected) in read {
            assert_eq!(megabytes(bytes), expected);
        }
        assert_eq!(megabytes(2_500_000_000), "2.5 GB");
    }

    #[test]
    fn numbers_read_well() {
        let read = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, expected) in read {
            assert_eq!(grouped(number), expected);
        }
    }
}
