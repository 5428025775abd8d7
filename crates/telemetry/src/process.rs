//! All engines of a process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::history::Points;
use crate::machine::Typical;
use crate::recommend::{Facts, Limits, better_variant, recommend};
use crate::requests::Requests;
use crate::{Anomaly, Correlation, EngineTelemetry, Flow, History, Labels, Machine, Point, Snapshot, Trace};

/// Points that two engines must have had together before they are compared: two minutes.
const ENOUGH: u64 = 12;

/// Pairs of engines that are compared.
const MOST_PAIRS: usize = 64;

/// The telemetry of a process. Times are since it was made.
pub struct Telemetry {
    /// When it was made, since 1970.
    origin: Duration,
    engines: RwLock<BTreeMap<Labels, Arc<EngineTelemetry>>>,
    requests: Arc<Mutex<Requests>>,
    history: Mutex<BTreeMap<Labels, Points>>,
    /// Anomalies so far.
    numbers: AtomicU64,
    /// What the machine usually does.
    machine: Mutex<Typical>,
}

/// What a second brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ticked {
    /// New points of the history, for whoever keeps them.
    pub points: Vec<(Labels, Point)>,
    /// Anomalies that began, became clear or ended.
    pub anomalies: Vec<Anomaly>,
}

impl Telemetry {
    /// Counts from now on; `origin` is the time since 1970.
    pub fn new(origin: Duration) -> Telemetry {
        let (engines, requests, history) = Default::default();
        Telemetry { origin, engines, requests, history, numbers: AtomicU64::new(0), machine: Mutex::default() }
    }

    /// The engine with these labels; one that takes the place of another goes on with its numbers.
    pub fn engine(&self, labels: Labels) -> Arc<EngineTelemetry> {
        let mut engines = self.engines.write().unwrap_or_else(PoisonError::into_inner);
        let engine = || Arc::new(EngineTelemetry::new(labels.clone(), self.origin, Arc::clone(&self.requests)));
        Arc::clone(engines.entry(labels.clone()).or_insert_with(engine))
    }

    /// The engines of a model.
    pub fn model(&self, name: &str) -> Vec<Arc<EngineTelemetry>> {
        let engines = self.engines.read().unwrap_or_else(PoisonError::into_inner);
        engines.values().filter(|engine| engine.labels().model == name).cloned().collect()
    }

    /// The engines of a model are gone. Its history stays.
    pub fn gone(&self, model: &str) {
        let mut engines = self.engines.write().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|labels, _| labels.model != model);
    }

    /// Once a second: adds to the history and looks for what is unusual.
    pub fn tick(&self, now: Duration, machine: Machine) -> Ticked {
        let (engines, mut ticked) = (self.engines(), Ticked::default());
        lock(&self.machine).learn(&machine);
        let mut next_id = || self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        for engine in &engines {
            ticked.points.extend(engine.point(now).map(|point| (engine.labels().clone(), point)));
            ticked.anomalies.extend(engine.second(now, machine, &mut next_id));
        }
        let mut history = lock(&self.history);
        ticked.points.iter().for_each(|(labels, point)| history.entry(labels.clone()).or_default().push(*point));
        ticked
    }

    /// What is unusual, and what was in the last hour; newest first.
    pub fn anomalies(&self) -> Vec<Anomaly> {
        let mut anomalies: Vec<_> = self.engines().iter().flat_map(|engine| engine.anomalies()).collect();
        anomalies.sort_by_key(|anomaly| std::cmp::Reverse(anomaly.id));
        anomalies
    }

    /// Gives back points of an earlier process, oldest first.
    pub fn restore(&self, labels: Labels, points: impl IntoIterator<Item = Point>) {
        lock(&self.history).entry(labels).or_default().restore(points);
    }

    /// Every engine's points after `since`, in seconds since 1970.
    pub fn history(&self, since: u64) -> Vec<History> {
        lock(&self.history).iter().map(|(labels, points)| points.columns(labels, since)).collect()
    }

    /// The last byte of the answer to a request has gone out, or its client has. `name` is what its client knows it by.
    pub fn sent(&self, now: Duration, id: u64, name: &str, trace: Trace) {
        lock(&self.requests).sent(id, (name, trace), now);
    }

    /// From now on requests whose answer has gone out are kept for [`Telemetry::take_finished`], a thousand at most.
    pub fn keep_finished(&self) {
        lock(&self.requests).keep_finished();
    }

    /// The requests whose answer has gone out since they were last taken.
    pub fn take_finished(&self) -> Vec<Flow> {
        lock(&self.requests).take_finished()
    }

    /// The stages of a request that has ended not long ago, by its name.
    pub fn flow(&self, name: &str) -> Option<Flow> {
        lock(&self.requests).find(name).cloned()
    }

    /// All that is known now.
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let engines = self.engines();
        let views: Vec<_> = engines.iter().map(|engine| engine.view(now)).collect();
        let series: Vec<_> = engines.iter().map(|engine| engine.series(now)).collect();
        let limits: Vec<Limits> = engines.iter().map(|engine| engine.limits()).collect();
        let machine = lock(&self.machine).known();
        let everybody = series.iter().filter_map(|series| series.first());
        let facts = views.iter().zip(everybody).zip(&limits);
        let facts: Vec<_> =
            facts.map(|((view, everybody), limits)| Facts { view, everybody, limits, machine }).collect();
        let recommendations = facts.iter().flat_map(recommend).chain(better_variant(&facts)).collect();
        Snapshot {
            time_ms: (self.origin + now).as_millis() as u64,
            uptime_s: now.as_secs_f64(),
            recommendations,
            engines: views,
            series: series.into_iter().flatten().collect(),
            slowest: lock(&self.requests).slowest(now),
            anomalies: self.anomalies(),
            correlations: self.correlations(&engines, now),
        }
    }

    /// Engines of the same model beside each other.
    fn correlations(&self, engines: &[Arc<EngineTelemetry>], now: Duration) -> Vec<Correlation> {
        let (history, since) = (lock(&self.history), (self.origin + now).as_secs().saturating_sub(3600));
        let pairs = engines.iter().enumerate().flat_map(|(at, one)| {
            let others = engines[at + 1..].iter().filter(|other| other.labels().model == one.labels().model);
            others.map(move |other| (one.labels(), other.labels()))
        });
        let compared = pairs.take(MOST_PAIRS).filter_map(|(one, other)| {
            let (coefficient, points) = history.get(one)?.correlation(history.get(other)?, since);
            let (one, other) = (one.clone(), other.clone());
            (points >= ENOUGH).then_some(Correlation { one, other, coefficient, points })
        });
        compared.collect()
    }

    fn engines(&self) -> Vec<Arc<EngineTelemetry>> {
        self.engines.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
