//! The numbers of one engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::detect::{Beside, Detector, Scene};
use crate::history::{self, Point, WIDTH};
use crate::loads::Loads;
use crate::predict::Predictor;
use crate::recommend::Limits;
use crate::requests::Requests;
use crate::totals::{RequestSums, StepSums, micros};
use crate::window::{Sliding, WINDOWS};
use crate::{
    Anomaly, EngineView, Flow, Forecast, Gauges, Labels, Machine, Pulse, Question, Record, SeriesView, Sketch, Step,
};

/// Tenants that are counted one by one; all others are counted together.
const MOST_TENANTS: usize = 64;

/// Tenants that a snapshot shows.
const SHOWN_TENANTS: usize = 8;

/// The name of the tenants that are counted together.
const OTHERS: &str = "(others)";

/// The window of an hour.
const HOUR: usize = 3;

/// One engine. Whoever observes it tells what happened; times are since the process began to count.
pub struct EngineTelemetry {
    labels: Labels,
    /// When the process began to count, since 1970.
    origin: Duration,
    state: Mutex<State>,
    requests: Arc<Mutex<Requests>>,
}

#[derive(Default)]
struct State {
    steps: Sliding<StepSums>,
    all: Sliding<RequestSums>,
    tenants: BTreeMap<String, Tenant>,
    now: Gauges,
    /// When the last step ended.
    stepped: Duration,
    /// The ten seconds of the last point.
    point: u64,
    detector: Detector,
    last: Last,
    limits: Limits,
    loads: Loads,
    predictor: Predictor,
}

/// What the last second left for the next.
#[derive(Default)]
struct Last {
    second: u64,
    in_flight: usize,
    /// Since when there is work.
    working: Option<Duration>,
    /// Batches that failed so far, now and a second ago.
    failed: [u64; 2],
}

#[derive(Default)]
struct Tenant {
    sums: Sliding<RequestSums>,
    seen: Duration,
}

impl EngineTelemetry {
    pub(crate) fn new(labels: Labels, origin: Duration, requests: Arc<Mutex<Requests>>) -> EngineTelemetry {
        EngineTelemetry { labels, origin, state: Mutex::default(), requests }
    }

    /// Whose it is.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// A step has ended.
    pub fn step(&self, now: Duration, step: &Step) {
        let mut state = self.lock();
        state.steps.at(now).step(step);
        let State { detector, limits, .. } = &mut *state;
        detector.step(step, limits.slots);
        if step.decode_rows > 0 {
            let gap = micros(step.since_last.unwrap_or(step.took));
            state.all.at(now).between.add(gap, u32::try_from(step.decode_rows).unwrap_or(u32::MAX));
        }
        state.stepped = now;
        let Step { prefill_rows, decode_rows, left, .. } = *step;
        let kv = state.now.kv;
        let (running, waiting, stalled) = (left.running, left.waiting, left.stalled);
        state.loads.push(now, running, waiting);
        state.now = Gauges { running, waiting, stalled, prefill_rows, decode_rows, kv };
    }

    /// A request has ended.
    pub fn ended(&self, now: Duration, record: &Record<'_>) {
        let mut state = self.lock();
        state.all.at(now).ended(record, false);
        state.detector.ended(&record.request, record.tenant);
        if let Some(tenant) = record.tenant {
            state.tenant(tenant, now).at(now).ended(record, true);
        }
        let came = now.saturating_sub(record.total);
        state.learn(record, came, (self.origin + now).as_millis() as u64);
        drop(state);
        let flow = self.flow(record, came);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).ended(record.id, came, flow);
    }

    /// What it does between steps, and its KV cache.
    pub fn pulse(&self, now: Duration, pulse: &Pulse) {
        let mut state = self.lock();
        let State { now: gauges, stepped, last, limits, loads, .. } = &mut *state;
        (gauges.running, gauges.waiting, gauges.kv) = (pulse.running, pulse.waiting, pulse.kv);
        loads.push(now, pulse.running, pulse.waiting);
        last.failed[0] = pulse.failed_batches;
        (limits.slots, limits.context) = (pulse.slots, pulse.context);
        // Nothing is in the batch of an engine that computes nothing.
        if now.saturating_sub(*stepped) > Duration::from_secs(2) {
            (gauges.prefill_rows, gauges.decode_rows) = (0, 0);
        }
    }

    /// An answer was given a mark, from 0 (bad) to 1.
    pub fn mark(&self, now: Duration, mark: f64) {
        self.lock().all.at(now).mark(mark);
    }

    /// How long a request will take; `None` as long as too few are known.
    pub fn predict(&self, question: &Question) -> Option<Forecast> {
        self.lock().predictor.predict(question)
    }

    /// A point of the history, if ten seconds are over since the last one.
    pub(crate) fn point(&self, now: Duration) -> Option<Point> {
        let (mut state, tens) = (self.lock(), now.as_secs() / history::STEP);
        if std::mem::replace(&mut state.point, tens) == tens {
            return None;
        }
        let time = (self.origin + Duration::from_secs(tens * history::STEP)).as_secs();
        Some(Point { time, values: state.values(now) })
    }

    /// Looks for what is unusual, if a second is over since the last time. Gives what has begun or ended.
    pub(crate) fn second(&self, now: Duration, machine: Machine, next_id: &mut dyn FnMut() -> u64) -> Vec<Anomaly> {
        let mut state = self.lock();
        if std::mem::replace(&mut state.last.second, now.as_secs()) == now.as_secs() {
            return Vec::new();
        }
        let beside = state.beside(now, machine);
        let (steps, requests) = (state.steps.second(now), state.all.second(now));
        let mut scene = Scene { labels: &self.labels, now, origin: self.origin, next_id };
        state.detector.second((&steps, &requests), beside, &mut scene)
    }

    /// What its model is loaded from: what `--model` takes.
    pub fn loaded_from(&self, source: &str) {
        self.lock().limits.source = Some(source.to_owned());
    }

    /// What it was started with.
    pub(crate) fn limits(&self) -> Limits {
        self.lock().limits.clone()
    }

    /// What is unusual, and what was in the last hour; newest first.
    pub(crate) fn anomalies(&self) -> Vec<Anomaly> {
        self.lock().detector.known()
    }

    pub(crate) fn view(&self, now: Duration) -> EngineView {
        let mut state = self.lock();
        let windows = (0..WINDOWS.len()).map(|window| {
            let (sums, seconds) = state.steps.window(now, window);
            sums.view(window, seconds)
        });
        let windows = windows.collect();
        EngineView { labels: self.labels.clone(), now: state.now, windows, predictions: state.predictor.predictions() }
    }

    /// Everybody's requests, and those of the tenants that used most tokens in the last hour.
    pub(crate) fn series(&self, now: Duration) -> Vec<SeriesView> {
        let mut state = self.lock();
        let view = |tenant: Option<String>, sums: &mut Sliding<RequestSums>| {
            let window = |window| {
                let (sums, seconds) = sums.window(now, window);
                sums.view(window, seconds)
            };
            SeriesView { labels: self.labels.clone(), tenant, windows: (0..WINDOWS.len()).map(window).collect() }
        };
        let State { all, tenants, .. } = &mut *state;
        let mut series = vec![view(None, all)];
        let used = |tenant: &mut Tenant| {
            let tokens = tenant.sums.window(now, HOUR).0.tokens;
            tokens.prompt + tokens.generated
        };
        let mut most: Vec<_> = tenants.iter_mut().map(|(name, tenant)| (used(tenant), name, tenant)).collect();
        most.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
        let shown = most.into_iter().take(SHOWN_TENANTS).filter(|(used, ..)| *used > 0);
        series.extend(shown.map(|(_, name, tenant)| view(Some(name.clone()), &mut tenant.sums)));
        series
    }

    fn flow(&self, record: &Record<'_>, came: Duration) -> Flow {
        let request = &record.request;
        Flow {
            id: record.id.to_string(),
            labels: self.labels.clone(),
            tenant: record.tenant.map(str::to_owned),
            reason: request.reason,
            came_ms: (self.origin + came).as_millis() as u64,
            total_us: micros(record.total),
            prompt: request.prompt,
            cached: record.cached,
            generated: request.generated,
            spans: record.spans.to_vec(),
            trace: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The sums of a tenant. Those that were not seen for an hour make room for others.
    fn tenant(&mut self, name: &str, now: Duration) -> &mut Sliding<RequestSums> {
        if !self.tenants.contains_key(name) && self.tenants.len() >= MOST_TENANTS {
            self.tenants.retain(|_, tenant| tenant.seen + Duration::from_secs(3600) > now);
        }
        let known = self.tenants.contains_key(name) || self.tenants.len() < MOST_TENANTS;
        let tenant = self.tenants.entry(if known { name } else { OTHERS }.to_owned()).or_default();
        tenant.seen = now;
        &mut tenant.sums
    }

    /// What the request says of requests like it.
    fn learn(&mut self, record: &Record<'_>, came: Duration, time_ms: u64) {
        let request = &record.request;
        let (running, waiting) = self.loads.at(came);
        let prompt = request.prompt.saturating_sub(record.cached);
        let output = request.generated / request.answers.max(1);
        self.predictor.learn(&Question { prompt, output, running, waiting }, request, time_ms);
    }

    fn beside(&mut self, now: Duration, machine: Machine) -> Beside {
        let in_flight = self.now.running + self.now.waiting;
        let Last { working, failed, .. } = &mut self.last;
        // Where all that runs waits for its clients the engine has nothing to do.
        let stalled = self.now.running > 0 && self.now.stalled >= self.now.running;
        *working = (in_flight > 0 && !stalled).then(|| working.unwrap_or(now));
        let standstill = working.map_or(0.0, |since| now.saturating_sub(since.max(self.stepped)).as_secs_f64());
        let [failed_so_far, failed_before] = *failed;
        failed[1] = failed_so_far;
        let before = std::mem::replace(&mut self.last.in_flight, in_flight);
        let failed_batches = failed_so_far.saturating_sub(failed_before);
        Beside { gauges: self.now, in_flight: before, standstill, failed_batches, machine, slowness: None }
    }

    /// The numbers of the last ten seconds, in the order of [`history::COLUMNS`].
    fn values(&mut self, now: Duration) -> [f32; WIDTH] {
        let Gauges { running, waiting, kv, .. } = self.now;
        let (steps, requests) = (self.steps.ten_seconds(now), self.all.ten_seconds(now));
        let share = |blocks: usize| blocks as f32 / kv.blocks.max(1) as f32;
        let at = |sketch: &Sketch, share| sketch.quantile(share).map_or(f32::NAN, |us| (us / 1e3) as f32);
        let step = [&steps.decode, &steps.mixed, &steps.prefill].into_iter().max_by_key(|sketch| sketch.count());
        let (done, tokens, work) = (requests.requests, requests.tokens, steps.work);
        [
            done.ended as f32,
            (done.failed + done.late) as f32,
            running as f32,
            waiting as f32,
            at(&requests.queue, 0.5),
            at(&requests.first_token, 0.5),
            at(&requests.first_token, 0.99),
            at(&requests.between, 0.5),
            at(&requests.between, 0.99),
            at(&requests.total, 0.5),
            at(&requests.total, 0.99),
            step.map_or(f32::NAN, |sketch| at(sketch, 0.5)),
            (work.prefill_rows + work.found) as f32,
            tokens.cached as f32,
            work.tokens as f32,
            work.prefill_rows as f32,
            work.decode_rows as f32,
            work.preempted as f32,
            share(kv.used),
            share(kv.kept),
            steps.busy(history::STEP as f64) as f32,
        ]
    }
}
