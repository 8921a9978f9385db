//! What was measured, of everything.

use super::Size;
use super::allocator::Allocator;
use super::freeze::Freeze;
use super::machine::Machine;
use super::memory::Memory;
use super::page_cache::State;
use super::rebuild::Rebuild;
use super::refused::Refused;
use super::scaling::Scaling;
use super::scan::Scan;
use super::statistics::Spread;
use serde::Serialize;

/// All of it.
#[derive(Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) size: Size,
    pub(crate) tables: Vec<Measured>,
    pub(crate) scan: Option<Scan>,
    pub(crate) page_cache: Vec<State>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) freeze: Vec<Freeze>,
    pub(crate) allocator: Vec<Allocator>,
    pub(crate) rebuild: Vec<Rebuild>,
    pub(crate) scaling: Option<Scaling>,
}

impl Results {
    /// A row of a table.
    pub(crate) fn row(&self, table: &str, program: &str, task: &str) -> Option<&MeasuredRow> {
        let table = self.tables.iter().find(|found| found.name == table)?;
        table.rows.iter().find(|row| row.program == program && (row.task == task || row.task == "–"))
    }
}

/// A table.
#[derive(Serialize)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<MeasuredRow>,
    /// Whole process with 100 look-ups, fastboot's default against rkyv mapped and unchecked.
    pub(crate) against_rkyv: Option<Spread>,
}

/// A row. Times are in microseconds, sizes in bytes.
#[derive(Serialize)]
pub(crate) struct MeasuredRow {
    pub(crate) program: String,
    pub(crate) task: String,
    pub(crate) rounds: usize,
    /// From before fork to after wait.
    pub(crate) wall: Spread,
    /// That, against the empty program in the same round.
    pub(crate) ratio: Spread,
    /// The parts of it, where the program tells the time.
    pub(crate) parts: Option<Parts>,
    pub(crate) faults: f64,
    pub(crate) system_calls: Option<u64>,
    pub(crate) instructions: Option<u64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) binary_bytes: u64,
    pub(crate) data_bytes: u64,
    /// In seconds.
    pub(crate) build: Option<f64>,
    /// What `FASTBOOT_LOG` says of the thaw.
    pub(crate) thaw: Option<Spread>,
}

/// Medians.
#[derive(Serialize)]
pub(crate) struct Parts {
    /// From before fork to the first line of `main`; the thaw is in it.
    pub(crate) start: f64,
    /// Until the value is there.
    pub(crate) load: f64,
    pub(crate) look_ups: f64,
    /// From the last look-up to after wait.
    pub(crate) exit: f64,
}
