//! Scores of a model on a suite of cases, by task: read the suite, answer its cases, judge the answers, add them up.
//!
//! The form of a suite is in `docs/eval.md`.

mod case;
mod choice;
mod fields;
mod json;
mod judge;
mod report;
mod run;
mod sentences;
mod suite;
#[cfg(test)]
mod tests;

pub(crate) use case::{Call, Case, Expect, Input};
pub(crate) use choice::{Accuracy, Choice, Scores};
pub(crate) use judge::judge;
pub(crate) use report::{CaseReport, Report, TaskReport};
pub(crate) use run::run;
pub(crate) use suite::Suite;
