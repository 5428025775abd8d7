//! Scores of a model on a suite of cases, by task: read the suite, answer its cases, judge the answers, add them up.
//!
//! The form of a suite is in `docs/eval.md`.

mod case;
mod fields;
mod json;
mod judge;
mod report;
mod run;
mod sentences;
mod suite;
#[cfg(test)]
mod tests;

pub use case::{Call, Case, Expect, Input};
pub use judge::judge;
pub use report::{CaseReport, Report, TaskReport, Variety};
pub use run::run;
pub use suite::{Suite, SuiteError, SuiteProblem};
