//! What happened, as numbers: counts and times of each engine in sliding windows and over a day, requests one by one, and the
//! metrics that Prometheus reads.
//!
//! Architecture invariant: this crate knows nothing of engines, HTTP and clocks. Whoever observes an engine says what happened
//! and how long it took; time is passed in, counted from the moment at which the process began to count.

mod algorithms;
mod anomaly;
mod detect;
mod engine;
mod events;
mod families;
mod fit;
mod flow;
mod history;
mod injected;
mod labels;
mod loads;
mod machine;
mod predict;
mod process;
mod prometheus;
mod recommend;
mod releases;
mod reloads;
mod requests;
mod sketch;
mod snapshot;
mod totals;
mod window;

pub use algorithms::{Algorithms, Own, OwnValue};
pub use anomaly::{Anomaly, Cause, Evidence, Symptom};
pub use engine::EngineTelemetry;
pub use events::{Foretold, Left, Pulse, Record, Request, Step};
pub use flow::{Flow, Span, Stage, Trace};
pub use history::{COLUMNS, History, KEPT as POINTS_KEPT, Point, STEP as POINT_SECONDS};
pub use injected::Injected;
pub use labels::Labels;
pub use machine::Machine;
pub use predict::{Forecast, Interval, Question};
pub use process::{Telemetry, Ticked};
pub use prometheus::{Metrics, ModelMetrics, Now};
pub use recommend::{Gain, Recommendation};
pub use releases::{Progress, ReleaseMetrics, Routed};
pub use reloads::Reloads;
pub use sketch::Sketch;
pub use snapshot::{
    Accuracy, Beside, Correlation, EngineView, Foreseen, Gauges, KvGauges, Outcomes, Predictions, Quantiles,
    RequestWindow, SeriesView, Snapshot, StepTotals, StepWindow, Tokens,
};
pub use window::WINDOWS;
