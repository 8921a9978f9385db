//! What passes between the tool and a freeze run: a folder with a few files in it.
//!
//! ```text
//! request   tool → runtime   what to do, lines of text
//! plan      tool → runtime   for a place run: where each allocation belongs
//! status    runtime → tool   one page, mapped shared: the root being evaluated, bytes captured so far
//! capture   runtime → tool   records: roots, memory, how it ended; a FIFO where the file system has such files
//! ```
//!
//! Like [`crate::image`], this module does no I/O and has no `unsafe`. The tool makes images out of captures; the
//! runtime only captures.

mod addresses;
mod block;
mod memory;
mod names;
mod plan;
mod record;
mod request;
mod status;
pub mod verdict;

pub use addresses::{
    HOME_SHIFT, NOTES_LEN, SCRATCH, SCRATCH_LEN, STACK_LEN, STACK_TOP, STACKS_LEN, THREAD_STACK_LEN, THREAD_STACKS,
    are_aligned, are_well_apart,
};
pub use block::{BLOCK_LEN, DEFERRED_MARK, HELD, may_lead_somewhere};
pub use memory::{available_memory, memory_limit_files};
pub use names::{
    AGAIN, CAPTURE_FILE, CHECK_VARIABLE, FREEZE_VARIABLE, MALLOC_TUNABLES, PLAN_FILE, RECORD_CHECK, RECORD_LEN,
    RECORD_NAME, REGISTRY, REQUEST_FILE, RUNTIME_VERSION, STATUS_FILE, TRAIN_VARIABLE, TUNABLES_VARIABLE, tunables,
};
pub use plan::{
    PLAN_ENTRY_LEN, PLAN_HEADER_LEN, PLAN_MAGIC, PLAN_PAGE_LEN, PLAN_PLACEMENT_LEN, PLAN_THREAD_LEN, PlanHeader,
};
pub use record::{InputKind, Leftover, Payload, RECORD_HEADER_LEN, Tag};
pub use request::{Mode, REQUEST_TITLE, Request, World};
pub use status::{Phase, STATUS_BYTES, STATUS_DONE, STATUS_LEN, STATUS_NAME, STATUS_PHASE, STATUS_TOTAL, Status};
