//! Hooks: functions that crates, and the standard library, call when something happens. The program sets them once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many events, counters and lines reached what `main` set.
static SEEN: AtomicUsize = AtomicUsize::new(0);

struct Seen;

impl log::Log for Seen {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }

    fn flush(&self) {}
}

impl tracing::Subscriber for Seen {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

impl metrics::Recorder for Seen {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        SEEN.fetch_add(1, Ordering::Relaxed);
        metrics::Counter::noop()
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }

    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

/// Sets a hook, if none is set.
pub(crate) fn change(what: &str) {
    match what {
        "log" => {
            _ = log::set_logger(&Seen);
            log::set_max_level(log::LevelFilter::Info);
        }
        "level" => log::set_max_level(log::LevelFilter::Warn),
        "tracing" => _ = tracing::subscriber::set_global_default(Seen),
        "metrics" => _ = metrics::set_global_recorder(Seen),
        "panic-hook" => std::panic::set_hook(Box::new(|_| eprintln!("a panic of this program"))),
        "eyre" => _ = eyre::set_hook(Box::new(|error| eyre::DefaultHandler::default_with(error))),
        // Whoever makes an error without having set the hook has it set.
        "eyre-report" => drop(eyre::eyre!("an error")),
        "miette" => _ = miette::set_hook(Box::new(|_| Box::new(miette::JSONReportHandler::new()))),
        #[cfg(feature = "full")]
        "color-eyre" => _ = color_eyre::install(),
        _ => {}
    }
}

/// Reports something to each kind of hook, set or not.
fn report() {
    tracing::info!("an event");
    metrics::counter!("events").increment(1);
    log::info!("a line");
}

pub(crate) fn evaluate(case: &str) {
    if case == "hooks-used" {
        report();
    }
}

pub(crate) fn answer(case: &str) {
    if case == "hooks-used" {
        for what in ["log", "tracing", "metrics"] {
            change(what);
        }
    }
    report();
    println!("reported {} times, level {}", SEEN.load(Ordering::Relaxed), log::max_level());
}
