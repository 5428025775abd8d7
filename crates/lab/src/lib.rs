//! The quantization lab: a model in, smaller ones out, with what they cost. Calibration, quantizers that know how weights are used,
//! evaluation against a reference, and conversion.
//!
//! It runs models through [`graph::Backend`], on whatever backend it is given.
//!
//! Architecture invariant: this crate knows nothing of servers and schedulers.

mod calibrate;
mod convert;
mod error;
mod evaluate;
mod experiment;
mod mixture;
mod prune;
mod quantize;
mod report;
mod runner;
mod statistics;
mod texts;
mod threads;

pub use calibrate::{CalibrateOptions, Calibration, Gram, Kept, calibrate, calibrate_graph};
pub use convert::{ConvertOptions, Converted, Progress, convert};
pub use error::Error;
pub use evaluate::{Estimate, Reference, ReferenceOptions, Samples, Summary, evaluate, log_sum};
pub use experiment::{
    CANDIDATES, Experiment, Lab, Materials, Outcome, Pruned, Spec, SpeedOptions, Target, Trial, speed,
};
pub use mixture::{Budget, Choice, Point, Sensitivity, assign, estimate, front, measure, set_times, time_types};
pub use prune::{
    Method, Pattern, PruneMethod, PruneOptions, Recovered, ShareLosses, prune, recover, share_losses, shares,
};
pub use quantize::{
    Encoder, Feedback, Quantize, QuantizeOptions, Quantized, Rows, Types, Unvisited, encode_weighted,
    encode_with_feedback,
};
pub use report::{
    Baseline, CLOSE, FrontPoint, Limit, Matrix, Measured, Recommendation, Report, Speed, SuiteScore, Variant, recommend,
};
pub use runner::{Runner, Weights, fused};
pub use statistics::{Entry, Statistics, StatisticsFormat};
pub use texts::{Source, Split};
