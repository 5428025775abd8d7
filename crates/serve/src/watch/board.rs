//! What the dashboard is told, in parts as JSON: made once for everybody who watches, and no more often than it changes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use telemetry::{EngineView, Gauges, Labels, Predictions, Snapshot, StepWindow};

use super::metrics::algorithms_told;
use crate::{App, releases, wire};

/// Nothing is made anew sooner: a person sees no difference, and a step takes about as long.
const SOON: Duration = Duration::from_millis(40);

/// What does not change is made anew after this time all the same: windows slide.
const SECOND: Duration = Duration::from_secs(1);

/// What the machine's cores did in the last second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoreLoad {
    /// Each core; none where the system does not say.
    pub cores: Vec<Core>,
    /// Cores that this process kept busy.
    pub own: Option<f64>,
}

/// The share of its time, 0 to 1, that a core was busy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Core {
    /// Its number.
    pub core: usize,
    /// Its share.
    pub busy: f64,
}

/// Says what cores did lately.
type Meter = Box<dyn FnMut() -> CoreLoad + Send>;

/// What was made last: for who may see the names of tenants, and for others.
#[derive(Default)]
pub(crate) struct Board {
    shown: [Mutex<Option<Shown>>; 2],
    meter: Mutex<Option<Meter>>,
}

struct Shown {
    at: Instant,
    /// How long it took to make.
    took: Duration,
    /// What engines had done then.
    done: u64,
    parts: Arc<Parts>,
}

impl Shown {
    fn holds(&self, now: Instant, done: u64) -> bool {
        let age = now.saturating_duration_since(self.at);
        // With hundreds of engines, no more than a fifth of a core is for who watches.
        age < SOON.max(self.took * 4) || self.done == done && age < SECOND
    }
}

impl Board {
    /// All that is known now.
    pub(super) fn parts(&self, app: &App, tenants: bool) -> Arc<Parts> {
        let mut shown = self.shown[usize::from(tenants)].lock().unwrap_or_else(PoisonError::into_inner);
        let (now, done) = (Instant::now(), done(app));
        if let Some(last) = shown.as_ref().filter(|last| last.holds(now, done)) {
            return Arc::clone(&last.parts);
        }
        let beside = [wire::lasting_faults(app), releases::told(app), algorithms_told(app)];
        let parts = Arc::new(Parts::of(&app.snapshot(tenants), &self.load(), &beside));
        *shown = Some(Shown { at: now, took: now.elapsed(), done, parts: Arc::clone(&parts) });
        parts
    }

    fn load(&self) -> CoreLoad {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.as_mut().map_or_else(CoreLoad::default, |measure| measure())
    }
}

impl App {
    /// From now on `measure` is asked what the machine's cores did, as often as somebody watches.
    pub fn measure_cores(&self, measure: impl FnMut() -> CoreLoad + Send + 'static) {
        *self.watch.board.meter.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(measure));
    }
}

/// A number that changes when an engine has done something.
fn done(app: &App) -> u64 {
    let mut hasher = DefaultHasher::new();
    for model in app.loaded() {
        let stats = model.engine().stats();
        (stats.steps, stats.running, stats.waiting, stats.kv_blocks_used).hash(&mut hasher);
    }
    releases::changes(app).hash(&mut hasher);
    hasher.finish()
}

/// The parts of all that is known, by name.
pub(super) struct Parts([(&'static str, String); 12]);

impl Parts {
    fn of(snapshot: &Snapshot, load: &CoreLoad, [faults, releases, algorithms]: &[Vec<Value>; 3]) -> Parts {
        let version = env!("CARGO_PKG_VERSION");
        let Snapshot { time_ms, uptime_s, .. } = *snapshot;
        let server = Server { version, time_ms, uptime_s, own_cores: load.own };
        let engines: Vec<Engine> = snapshot.engines.iter().map(Engine::of).collect();
        let predictions: Vec<Foretold> = snapshot.engines.iter().map(Foretold::of).collect();
        Parts([
            ("server", json(&server)),
            ("engines", json(&engines)),
            ("series", json(&snapshot.series)),
            ("predictions", json(&predictions)),
            ("slowest", json(&snapshot.slowest)),
            ("anomalies", json(&snapshot.anomalies)),
            ("recommendations", json(&snapshot.recommendations)),
            ("correlations", json(&snapshot.correlations)),
            ("cores", json(&load.cores)),
            ("faults", json(&faults)),
            ("releases", json(&releases)),
            ("algorithms", json(&algorithms)),
        ])
    }

    /// An object with those that differ from `before`; with all of them if nothing was before.
    pub(super) fn since(&self, before: Option<&Parts>) -> String {
        let old = |at: usize| before.map(|before| before.0[at].1.as_str());
        let changed = self.0.iter().enumerate().filter(|(at, (_, json))| old(*at) != Some(json));
        let members: Vec<String> = changed.map(|(_, (name, json))| format!("\"{name}\":{json}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Nothing of it can fail to be written.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

#[derive(Serialize)]
struct Server {
    version: &'static str,
    time_ms: u64,
    uptime_s: f64,
    own_cores: Option<f64>,
}

/// An engine without its predictions, which change seldom and are large.
#[derive(Serialize)]
struct Engine<'a> {
    #[serde(flatten)]
    labels: &'a Labels,
    now: &'a Gauges,
    windows: &'a [StepWindow],
}

impl Engine<'_> {
    fn of(view: &EngineView) -> Engine<'_> {
        Engine { labels: &view.labels, now: &view.now, windows: &view.windows }
    }
}

/// The predictions of an engine.
#[derive(Serialize)]
struct Foretold<'a> {
    #[serde(flatten)]
    labels: &'a Labels,
    #[serde(flatten)]
    predictions: &'a Predictions,
}

impl Foretold<'_> {
    fn of(view: &EngineView) -> Foretold<'_> {
        Foretold { labels: &view.labels, predictions: &view.predictions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_told() {
        let parts = |time_ms, engines: &[&str]| {
            let view = |name: &&str| EngineView { labels: Labels::model(*name), ..EngineView::default() };
            let engines = engines.iter().map(view).collect();
            Parts::of(
                &Snapshot { time_ms, engines, ..Snapshot::default() },
                &CoreLoad::default(),
                &[Vec::new(), Vec::new(), Vec::new()],
            )
        };
        let check = |before: Option<&Parts>, now: &Parts, wanted: &[&str]| {
            let message: serde_json::Map<String, Value> = serde_json::from_str(&now.since(before)).expect("an object");
            assert_eq!(message.keys().map(String::as_str).collect::<Vec<_>>(), wanted);
        };
        let first = parts(1, &["a"]);
        let all = first.0.each_ref().map(|(name, _)| *name);
        check(None, &first, &all);
        check(Some(&first), &parts(1, &["a"]), &[]);
        check(Some(&first), &parts(2, &["a"]), &["server"]);
        check(Some(&first), &parts(2, &["a", "b"]), &["server", "engines", "predictions"]);
    }
}
