//! The outside world: models over HTTP, in the dialects that clients speak.
//!
//! Architecture invariant: this crate knows nothing of graphs, quantization, kernels or weight files. Inside it, `wire` is the
//! only place with an API's JSON, a folder for each dialect, `openapi` describes what all of it is, and `http` knows neither models nor
//! dialects.

mod app;
mod configured;
mod faults;
pub mod http;
mod keys;
mod memory;
mod models;
pub mod openapi;
mod plans;
mod problem;
mod releases;
mod routes;
#[cfg_attr(feature = "parking-lot-scheduler", path = "scheduling/parking.rs")]
#[cfg_attr(not(feature = "parking-lot-scheduler"), path = "scheduling/direct.rs")]
mod scheduling;
pub mod services;
mod sessions;
mod watch;
mod wire;

pub use app::{App, State};
#[cfg(feature = "batches")]
pub use batch::{NewProfile, Profiles, Store as BatchStore, StoredProfile};
pub use configured::{Bounds, Configured};
pub use keys::{KeyEntry, KeyFile, KeyHash, KeyLimits, Keys, Role};
pub use models::{KeepAlive, LoadError, LoadOrder, Loader};
pub use plans::{PlanAsk, PlanError, Plans, ProfileAsk, TrialAsk};
pub use problem::{Kind, Problem};
pub use routes::RouteSetup;
pub use sessions::{SessionFile, SessionFiles};
pub use telemetry::{Labels, Machine};
#[cfg(feature = "otel")]
pub use watch::Collector;
pub use watch::{Core, CoreLoad, Webhook};
pub use wire::known;
pub use wire::{Endpoint, parse_request_body};
