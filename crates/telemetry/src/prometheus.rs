//! The metrics of a process as Prometheus reads them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::families::{Because, Bounds, Build, CacheConfig, Drafted, Ended, Families, Gauges, Histograms, Of, Times};
use crate::{Algorithms, Foretold, Injected, ReleaseMetrics, Reloads, Request, Step};

/// The metrics of a process. Names and meanings are those of vLLM, so that its dashboards and gateways work.
pub struct Metrics {
    registry: Mutex<Registry>,
    families: Families,
    reloads: Reloads,
    injected: Injected,
    releases: ReleaseMetrics,
    algorithms: Algorithms,
}

/// The metrics of one model. Clones are of the same.
#[derive(Clone)]
pub struct ModelMetrics {
    labels: Of,
    families: Families,
    steps: Arc<Steps>,
}

/// What every step changes, looked up once.
struct Steps {
    prompt: Counter,
    generated: Counter,
    queries: Counter,
    hits: Counter,
    preemptions: Counter,
    rows: Histogram,
    seconds: Histogram,
    between: Histogram,
}

/// What a model does at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// Sequences running.
    pub running: usize,
    /// Requests waiting.
    pub waiting: usize,
    /// Share of the KV cache in use.
    pub kv_usage: f64,
    /// States of recurrent layers: of sequences, and kept for later ones.
    pub states: [usize; 2],
    /// Its engines that compute, and those that have failed.
    pub engines: [usize; 2],
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (mut registry, families) = (Registry::default(), Families::default());
        let (reloads, injected) = (Reloads::default(), Injected::default());
        let (releases, algorithms) = (ReleaseMetrics::default(), Algorithms::default());
        families.register(&mut registry);
        reloads.register(&mut registry);
        injected.register(&mut registry);
        releases.register(&mut registry);
        algorithms.register(&mut registry);
        Metrics { registry: Mutex::new(registry), families, reloads, injected, releases, algorithms }
    }
}

impl Metrics {
    /// Those of the model of this name.
    pub fn model(&self, name: &str) -> ModelMetrics {
        let labels = Of { model_name: name.to_owned() };
        let Families { counts, spread, .. } = &self.families;
        let steps = Steps {
            prompt: counts.prompt_tokens.get_or_create(&labels).clone(),
            generated: counts.generation_tokens.get_or_create(&labels).clone(),
            queries: counts.prefix_queries.get_or_create(&labels).clone(),
            hits: counts.prefix_hits.get_or_create(&labels).clone(),
            preemptions: counts.preemptions.get_or_create(&labels).clone(),
            rows: spread.iteration_tokens.get_or_create(&labels).clone(),
            seconds: spread.step_seconds.get_or_create(&labels).clone(),
            between: spread.inter_token.get_or_create(&labels).clone(),
        };
        ModelMetrics { labels, families: self.families.clone(), steps: Arc::new(steps) }
    }

    /// Those of routes and releases.
    pub fn releases(&self) -> &ReleaseMetrics {
        &self.releases
    }

    /// Those of the configuration.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// Those that algorithms have of their own.
    pub fn algorithms(&self) -> &Algorithms {
        &self.algorithms
    }

    /// Those of faults on purpose.
    pub fn injected(&self) -> &Injected {
        &self.injected
    }

    /// Forgets what a model does now: it is gone. Its counts stay.
    pub fn gone(&self, name: &str) {
        let labels = Of { model_name: name.to_owned() };
        let Gauges { running, waiting, kv_usage, states_used, states_kept, engines, engines_failed, .. } =
            &self.families.now;
        for gauge in [running, waiting, states_used, states_kept, engines, engines_failed] {
            gauge.remove(&labels);
        }
        kv_usage.remove(&labels);
    }

    /// The program is of this version.
    pub fn build(&self, version: &str) {
        self.families.build.get_or_create(&Build { version: version.to_owned() }).set(1);
    }

    /// These anomalies last, and no others: the model of each and its cause.
    pub fn anomalies<'a>(&self, last: impl Iterator<Item = (&'a str, &'a str)>) {
        let anomalies = &self.families.now.anomalies;
        anomalies.clear();
        for (model, cause) in last {
            anomalies.get_or_create(&Because { model_name: model.to_owned(), cause: cause.to_owned() }).inc();
        }
    }

    /// All of them as text, in the form of Prometheus (version 0.0.4), for who does not read OpenMetrics.
    pub fn render_classic(&self) -> String {
        classic(&self.render())
    }

    /// All of them as text, in the form of OpenMetrics 1.0.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl ModelMetrics {
    /// A step has ended.
    pub fn step(&self, step: &Step) {
        let (Steps { rows, seconds, between, .. }, computed) = (&*self.steps, step.prefill_rows + step.decode_rows);
        self.steps.prompt.inc_by((step.prefill_rows + step.found) as u64);
        self.steps.generated.inc_by(step.tokens as u64);
        self.steps.queries.inc_by((step.prefill_rows + step.found) as u64);
        self.steps.hits.inc_by(step.found as u64);
        self.steps.preemptions.inc_by(step.preempted as u64);
        if computed == 0 {
            return;
        }
        rows.observe(computed as f64);
        seconds.observe(step.took.as_secs_f64());
        let gap = step.since_last.unwrap_or(step.took).as_secs_f64();
        (0..step.decode_rows).for_each(|_| between.observe(gap));
    }

    /// A request has ended.
    pub fn ended(&self, request: &Request) {
        let Histograms { queue, first_token, end_to_end, per_token, phases, prompt, generation, .. } =
            &self.families.spread;
        let ended = Ended { model_name: self.labels.model_name.clone(), finished_reason: request.reason.to_owned() };
        let counts = &self.families.counts;
        counts.success.get_or_create(&ended).inc();
        let Request { drafts: (all, accepted), model_drafts: model, head_drafts: head, .. } = *request;
        let lookup = (all - model.0 - head.0, accepted - model.1 - head.1);
        for (source, (drafted, accepted)) in [("lookup", lookup), ("model", model), ("head", head)] {
            let labels = Drafted { model_name: self.labels.model_name.clone(), source: source.to_owned() };
            counts.draft_tokens.get_or_create(&labels).inc_by(drafted as u64);
            counts.accepted_tokens.get_or_create(&labels).inc_by(accepted as u64);
        }
        let observe = |family: &Times, time: Option<Duration>| {
            if let Some(time) = time {
                family.get_or_create(&self.labels).observe(time.as_secs_f64());
            }
        };
        observe(queue, request.queued);
        observe(first_token, request.first_token);
        observe(end_to_end, request.last_token);
        if let (Some(foretold), Some(first)) = (request.foretold, request.first_token) {
            self.foretold(foretold, first);
        }
        if let (Some(queued), Some(first), Some(last)) = (request.queued, request.first_token, request.last_token) {
            observe(&phases.prefill, Some(first.saturating_sub(queued)));
            observe(&phases.decode, Some(last.saturating_sub(first)));
            observe(&phases.inference, Some(last.saturating_sub(queued)));
        }
        observe(per_token, request.between().map(|(mean, _)| mean));
        prompt.get_or_create(&self.labels).observe(request.prompt as f64);
        generation.get_or_create(&self.labels).observe(request.generated as f64);
    }

    fn foretold(&self, Foretold { least, likely, most }: Foretold, first: Duration) {
        let bounds = if (least..=most).contains(&first) { "inside" } else { "outside" };
        let error = (likely.as_secs_f64() - first.as_secs_f64()).abs() / first.as_secs_f64().max(f64::MIN_POSITIVE);
        self.families.spread.prediction_error.get_or_create(&self.labels).observe(error);
        let labels = Bounds { model_name: self.labels.model_name.clone(), bounds: bounds.to_owned() };
        self.families.counts.predictions.get_or_create(&labels).inc();
    }

    /// What it does now.
    pub fn now(&self, now: Now) {
        let Gauges { running, waiting, kv_usage, states_used, states_kept, engines, engines_failed, .. } =
            &self.families.now;
        let ([used, kept], [up, failed]) = (now.states, now.engines);
        let states = [(states_used, used), (states_kept, kept)];
        let of_engines = [(running, now.running), (waiting, now.waiting), (engines, up), (engines_failed, failed)];
        for (gauge, count) in states.into_iter().chain(of_engines) {
            gauge.get_or_create(&self.labels).set(count as i64);
        }
        let gauge: Gauge<f64, _> = kv_usage.get_or_create(&self.labels).clone();
        gauge.set(now.kv_usage);
    }

    /// Its KV cache has so many blocks, each with so many positions.
    pub fn cache(&self, blocks: usize, block_len: usize) {
        let (block_size, num_gpu_blocks) = (block_len as u64, blocks as u64);
        let labels = CacheConfig { model_name: self.labels.model_name.clone(), block_size, num_gpu_blocks };
        self.families.now.cache.get_or_create(&labels).set(1);
    }
}

/// OpenMetrics in the older form: a counter's family has the name of its samples, and nothing says where the text ends.
fn classic(text: &str) -> String {
    let counters: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut classic = String::with_capacity(text.len());
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                classic.extend(["# ", what, " ", name, "_total ", rest, "\n"]);
            }
            _ => classic.extend([line, "\n"]),
        }
    }
    classic
}
