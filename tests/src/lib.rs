//! The harness of the integration tests: builds the programs in `tests/programs` with `cargo fastboot`, runs what came
//! out, and requires that a binary does with its image what it does without.
//!
//! [`programs`] builds, [`package`] is one whose source a test changes, [`places`] puts images elsewhere than into the section, [`runs`] runs and compares, [`tools`] finds
//! other people's programs.

pub mod package;
pub mod places;
pub mod programs;
pub mod runs;
pub mod tools;
