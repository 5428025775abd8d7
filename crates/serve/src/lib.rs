//! The outside world: models over HTTP, in the dialects that clients speak.
//!
//! Architecture invariant: this crate knows nothing of graphs, quantization, kernels or weight files. Inside it, `wire` is the
//! only place with an API's JSON, a folder for each dialect, and `http` knows neither models nor dialects.

mod app;
mod configured;
pub mod http;
mod keys;
mod models;
mod problem;
#[cfg_attr(feature = "parking-lot-scheduler", path = "scheduling/parking.rs")]
#[cfg_attr(not(feature = "parking-lot-scheduler"), path = "scheduling/direct.rs")]
mod scheduling;
mod sessions;
mod watch;
mod wire;

pub use app::{App, State};
#[cfg(feature = "batches")]
pub use batch::Store as BatchStore;
pub use configured::{Bounds, Configured};
pub use keys::{KeyEntry, KeyFile, KeyHash, KeyLimits, Keys, Role};
pub use models::{KeepAlive, LoadError, LoadOrder, Loader};
pub use problem::{Kind, Problem};
pub use sessions::{SessionFile, SessionFiles};
pub use telemetry::{Labels, Machine};
#[cfg(feature = "otel")]
pub use watch::Collector;
pub use watch::{Core, CoreLoad, Webhook};
pub use wire::known;
pub use wire::{Endpoint, parse_request_body};
