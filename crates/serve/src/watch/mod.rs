//! What happened: observers of the engines tell it, and it is read at `/metrics` and `/v1/telemetry`.

mod alerts;
mod board;
#[cfg_attr(feature = "otel", path = "otlp.rs")]
#[cfg_attr(not(feature = "otel"), path = "not_exported.rs")]
mod export;
#[cfg_attr(feature = "batches", path = "history.rs")]
#[cfg_attr(not(feature = "batches"), path = "forgotten.rs")]
mod history;
mod load;
mod metrics;
mod observer;
mod predict;
mod snapshot;
mod stream;
mod together;
mod trace;

#[cfg(feature = "batches")]
pub(crate) use history::restore;

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alerts::Alerts;
pub use alerts::Webhook;
use board::Board;
pub use board::{Core, CoreLoad};
#[cfg(feature = "otel")]
pub use export::Collector;
use export::Exporter;
pub(crate) use load::tell as tell_load;

use axum::Router;
use axum::routing::get;
use engine::Observer;
use telemetry::{Anomaly, Injected, Labels, Machine, Metrics, ReleaseMetrics, Reloads, Telemetry, Trace};
use tokio::time::{MissedTickBehavior, interval};

use crate::App;

/// How often engines are asked what they do.
const SECOND: Duration = Duration::from_secs(1);

/// All that is counted, and the clock that it is counted by.
pub(crate) struct Watch {
    metrics: Metrics,
    telemetry: Telemetry,
    began: Instant,
    alerts: OnceLock<Alerts>,
    /// What who watches is shown.
    board: Board,
    exporter: Exporter,
    /// Says what the machine did in the last second.
    machine: Mutex<Option<Box<dyn FnMut() -> Machine + Send>>>,
}

impl Default for Watch {
    fn default() -> Watch {
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let metrics = Metrics::default();
        metrics.build(env!("CARGO_PKG_VERSION"));
        let (telemetry, began) = (Telemetry::new(origin), Instant::now());
        Watch {
            metrics,
            telemetry,
            began,
            alerts: OnceLock::new(),
            board: Board::default(),
            exporter: Exporter::default(),
            machine: Mutex::default(),
        }
    }
}

impl Watch {
    /// How configurations were taken.
    pub(crate) fn reloads(&self) -> &Reloads {
        self.metrics.reloads()
    }

    /// A model was loaded from there.
    pub(crate) fn loaded_from(&self, model: &str, source: &str) {
        self.telemetry.model(model).iter().for_each(|engine| engine.loaded_from(source));
    }

    /// Who was hit by faults on purpose.
    pub(crate) fn injected(&self) -> &Injected {
        self.metrics.injected()
    }

    /// What routes and releases do.
    pub(crate) fn releases(&self) -> &ReleaseMetrics {
        self.metrics.releases()
    }

    /// A model is gone.
    pub(crate) fn gone(&self, model: &str) {
        self.metrics.gone(model);
        self.telemetry.gone(model);
    }

    /// The last byte of an answer has gone out, or its client has: that to the engine's request of this number.
    pub(crate) fn sent(&self, request: u64, name: &str, trace: Trace) {
        self.telemetry.sent(self.now(), request, name, trace);
    }

    /// Whether anybody outside is told what happens.
    pub(crate) fn is_heard(&self) -> bool {
        self.alerts.get().is_some()
    }

    /// Tells who is told what happens. The same id is given to the same thing.
    pub(crate) fn announce(&self, event: &str, id: &str, data: &serde_json::Value) {
        self.alerts.get().into_iter().for_each(|alerts| alerts.announce(event, id, data));
    }

    /// Asks who is told what happens whether something may: gives a reason against it, if there is one.
    pub(crate) async fn consult(&self, event: &str, id: &str, data: &serde_json::Value) -> Option<String> {
        self.alerts.get()?.consult(event, id, data).await
    }

    /// An answer of a model was given a mark, from 0 to 1.
    pub(crate) fn mark(&self, model: &str, mark: f64) {
        let now = self.now();
        self.telemetry.model(model).iter().for_each(|engine| engine.mark(now, mark));
    }

    /// Something unusual has begun, has become clear or is over.
    fn tell(&self, changed: &[Anomaly]) {
        for anomaly in changed {
            let Anomaly { id, labels, message, until_ms, .. } = anomaly;
            let (cause, model, over) = (anomaly.cause.as_str(), &labels.model, until_ms.is_some());
            tracing::warn!(id, model, cause, over, "{message}");
            self.alerts.get().into_iter().for_each(|alerts| alerts.tell(anomaly));
        }
        if !changed.is_empty() {
            let all = self.telemetry.anomalies();
            let last = all.iter().filter(|anomaly| anomaly.until_ms.is_none());
            self.metrics.anomalies(last.map(|anomaly| (anomaly.labels.model.as_str(), anomaly.cause.as_str())));
        }
    }

    /// What the machine did since the last second, if anybody knows.
    fn machine(&self) -> Machine {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.as_mut().map_or_else(Machine::default, |measure| measure())
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Asks the engines what they do.
    fn look(&self, app: &App) {
        for (name, (pulse, ..)) in metrics::pulses(app) {
            self.telemetry.model(&name).iter().for_each(|engine| engine.pulse(self.now(), &pulse));
        }
    }
}

impl App {
    /// An observer for the engine of the model that goes by this name: what it hears is at `/metrics` and `/v1/telemetry`.
    pub fn observer(&self, name: &str) -> impl Observer + 'static {
        self.observer_of(Labels::model(name))
    }

    /// The same, of a variant on a device.
    pub fn observer_of(&self, labels: Labels) -> impl Observer + 'static {
        let metrics = self.watch.metrics.model(&labels.model);
        observer::Ears::new(metrics, self.watch.telemetry.engine(labels), self.watch.began)
    }

    /// From now on `measure` is asked once a second what the machine does besides.
    pub fn measure_machine(&self, measure: impl FnMut() -> Machine + Send + 'static) {
        *self.watch.machine.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(measure));
    }
}

/// The routes.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/v1/telemetry", get(snapshot::snapshot))
        .route("/v1/telemetry/history", get(snapshot::history))
        .route("/v1/telemetry/stream", get(stream::stream))
        .route("/v1/telemetry/predict", get(predict::predict))
        .route("/v1/requests/{id}/trace", get(trace::trace))
}

/// Looks after what is counted once a second, until the app is gone.
pub(crate) async fn run(app: Weak<App>) {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let Some(app) = app.upgrade() else { return };
        app.end_faults(tokio::time::Instant::now());
        app.watch.look(&app);
        let ticked = app.watch.telemetry.tick(app.watch.now(), app.watch.machine());
        app.watch.tell(&ticked.anomalies);
        app.watch.exporter.send(&app.watch.telemetry);
        history::keep(&app, ticked.points).await;
    }
}
