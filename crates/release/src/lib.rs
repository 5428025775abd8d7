//! Which variant answers: routes over variants, releases in stages, experiments and shadows, and their verdicts.
//!
//! Everything here is a pure state machine. Events come in with their time; decisions and a journal come out. It knows no engine, no
//! HTTP, no clock and no storage. What is random is a hash of who asks and of the experiment's salt, so the same units meet the same
//! variants after a restart.

mod assign;
mod baseline;
mod canary;
mod experiment;
mod journal;
mod outcome;
mod route;
mod shadow;
pub mod stats;
mod variant;

pub use assign::{Unit, point};
pub use baseline::{Allowed, Baseline, Length, Row, Sample, Standing, Watch, regressed};
pub use canary::{BadPlan, Canary, Decision, Event, Margins, Plan, SECOND, Shadowing, Stage, Status, Verdict};
pub use experiment::{BadSetup, Effect, Experiment, Judged, Kind, Ruling, Setup};
pub use journal::{BadJournal, Beginning, Entry, Recorded, explain};
pub use outcome::{Arm, Metric, Outcome, Readings};
pub use route::{Balance, Choice, Ended, Policy, Problem, Request, Route, Sticky, Target, TargetStats};
pub use shadow::{Comparison, Likeness, Limits, Shadow};
pub use variant::Variant;
