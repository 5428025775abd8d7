//! Scores of a model on a suite of cases, by task: read the suite, answer its cases, judge the answers, add them up.
//!
//! ```no_run
//! use whinchat::eval::{Suite, run};
//! let suite = Suite::load("suite".as_ref())?;
//! let report = run(&whinchat::Model::load("model.gguf")?, &suite, &mut |_| {})?;
//! println!("{} of {}", report.total.passed, report.total.cases);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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

pub use case::{Call, Case, Expect, Input};
pub use judge::judge;
pub use report::{CaseReport, Report, TaskReport, Variety};
pub use run::run;
pub use suite::{Suite, SuiteError, SuiteProblem};
