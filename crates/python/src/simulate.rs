//! Replays of traces before the real scheduler and the real KV cache, by policies of the program or in Python.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cli::simulate::cost::Cost;
use cli::simulate::figures::{self, Goal};
use cli::simulate::replay::{End, Outcome, Replayed, Setup, replay_with};
use cli::simulate::trace::{self, Job, Random};
use engine::{EngineConfig, Policy};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::errors;
use crate::matrix::Matrix;
use crate::options::{self, read, seconds};
use crate::policy::{Broken, Chosen, name};

/// Which requests come.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    /// A file, random requests, or requests one by one.
    trace: Trace,
    limit: Option<usize>,
    speed: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Trace {
    File(PathBuf),
    Random { requests: usize, rate: f64, seed: u64 },
    Jobs(Vec<Given>),
}

/// A request as Python says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    arrival: f64,
    prompt: usize,
    output: usize,
    #[serde(default)]
    spans: Vec<u32>,
    #[serde(default)]
    tenant: Option<String>,
}

/// What serves them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    kv_blocks: usize,
    block: usize,
    max_batch_tokens: usize,
    max_sequences: usize,
    max_queue: Option<usize>,
    max_step: Option<f64>,
    /// Microseconds of a step, of a row of a prompt, of a row that decodes, and of a thousand positions that attention reads.
    cost: [f64; 4],
    noise: f64,
    max_tokens: usize,
    eviction: String,
    goal: [f64; 2],
    check: bool,
}

impl Load {
    /// The requests, in the order of their coming.
    ///
    /// # Errors
    /// If a file cannot be read or a number is out of its range.
    pub(crate) fn jobs(&self) -> PyResult<Vec<Job>> {
        let mut jobs = match &self.trace {
            Trace::File(path) => {
                trace::read(path).map_err(|error| errors::raised("TraceError", &format!("{error:#}")))?
            }
            Trace::Random { requests, rate, seed } => {
                if !(1..=10_000_000).contains(requests) || !rate.is_finite() || *rate <= 0.0 {
                    let message = "requests must be from 1 to 10000000, and rate a number above 0";
                    return Err(errors::invalid("random", message));
                }
                Random { requests: *requests, rate: *rate, seed: *seed }.jobs()
            }
            Trace::Jobs(given) => given.iter().enumerate().map(job).collect::<PyResult<_>>()?,
        };
        jobs.sort_by_key(|job| job.arrives);
        jobs.truncate(self.limit.unwrap_or(usize::MAX));
        if jobs.is_empty() {
            return Err(errors::invalid("trace", "the trace has no requests"));
        }
        let speed = self.speed.unwrap_or(1.0);
        seconds("speed", speed)?;
        jobs.iter_mut().for_each(|job| job.arrives = job.arrives.div_f64(speed));
        Ok(jobs)
    }
}

fn job((place, given): (usize, &Given)) -> PyResult<Job> {
    let due = given.prompt.div_ceil(trace::SPAN);
    let arrives = Duration::try_from_secs_f64(given.arrival).ok();
    let fits = (1..=1 << 24).contains(&given.prompt) && (1..=1 << 24).contains(&given.output);
    match arrives.filter(|_| fits && (given.spans.is_empty() || given.spans.len() == due)) {
        Some(arrives) => Ok(Job {
            arrives,
            prompt: given.prompt,
            output: given.output,
            spans: given.spans.clone().into(),
            leaves: None,
            tenant: given.tenant.as_deref().map(Arc::from),
        }),
        None => {
            let message = format!(
                "request {place}: arrival is in seconds from 0, prompt and output are tokens from 1, and spans, if there are any, \
                 are one for each {} tokens of the prompt",
                trace::SPAN
            );
            Err(errors::invalid("trace", &message))
        }
    }
}

impl Server {
    fn setup(&self, policy: Option<&str>) -> PyResult<(Setup, Goal)> {
        let sizes = [self.kv_blocks, self.block, self.max_batch_tokens, self.max_sequences];
        if sizes.contains(&0) || self.kv_blocks > 1 << 26 {
            let message = "kv_blocks (to 67108864), block, max_batch_tokens and max_sequences must be at least 1";
            return Err(errors::invalid("kv_blocks", message));
        }
        let [step, prefill, decode, context] = self.cost;
        let fits = |number: &f64| number.is_finite() && *number >= 0.0;
        if !self.cost.iter().all(fits) || !(0.0..=1.0).contains(&self.noise) {
            return Err(errors::invalid("cost", "the numbers of cost must be at least 0, and noise from 0 to 1"));
        }
        let config = EngineConfig {
            max_batch_tokens: self.max_batch_tokens,
            max_sequences: self.max_sequences,
            max_queue: self.max_queue.unwrap_or(usize::MAX),
            max_step: self.max_step.map(|time| seconds("max_step", time)).transpose()?,
            prefix_cache: options::eviction(&self.eviction)?,
            policy: policy.map(options::policy).transpose()?.unwrap_or_default(),
            ..EngineConfig::default()
        };
        let cost = Cost { step: step * 1e3, prefill: prefill * 1e3, decode: decode * 1e3, context };
        let setup = Setup {
            config,
            block_len: self.block,
            blocks: self.kv_blocks,
            cost,
            noise: self.noise,
            max_tokens: self.max_tokens,
            foretells: false,
            fault_every: None,
            check: self.check,
        };
        let [first, gap] = self.goal;
        Ok((setup, Goal { first: seconds("goal", first)?, gap: seconds("goal", gap)? }))
    }
}

/// What became of the requests of a trace.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Replay {
    /// As JSON.
    #[pyo3(get)]
    figures: String,
    outcomes: Vec<Outcome>,
    jobs: Vec<Job>,
}

#[pymethods]
impl Replay {
    /// A number for each request, by name; what there is none of is NaN.
    fn column(&self, name: &str) -> PyResult<Matrix> {
        let seconds = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
        let column = |number: fn(&Job) -> f64| self.jobs.iter().map(number).collect();
        let outcome = |number: &dyn Fn(&Outcome) -> f64| self.outcomes.iter().map(number).collect();
        Ok(Matrix::column(match name {
            "arrival" => column(|job| job.arrives.as_secs_f64()),
            "prompt" => column(|job| job.prompt as f64),
            "output" => column(|job| job.output as f64),
            "first_token" => outcome(&|outcome| seconds(outcome.first)),
            "last_token" => outcome(&|outcome| seconds(outcome.last)),
            "longest_gap" => outcome(&|outcome| outcome.longest_gap.as_secs_f64()),
            "found" => outcome(&|outcome| outcome.found as f64),
            _ => return Err(errors::invalid("column", &format!("there is no column {name:?}"))),
        }))
    }

    /// How each request ended: `complete`, `left`, `refused` or `failed`.
    fn ends(&self) -> Vec<&'static str> {
        let name = |outcome: &Outcome| match outcome.end {
            End::Complete => "complete",
            End::Left => "left",
            End::Refused => "refused",
            End::Failed => "failed",
        };
        self.outcomes.iter().map(name).collect()
    }

    /// On whose behalf each came.
    fn tenants(&self) -> Vec<Option<&str>> {
        self.jobs.iter().map(|job| job.tenant.as_deref()).collect()
    }

    fn __len__(&self) -> usize {
        self.jobs.len()
    }
}

/// Replays a trace. `policy` is a name or a policy in Python, which is asked on this thread.
#[pyfunction]
pub(crate) fn simulate(py: Python<'_>, load: &str, server: &str, policy: Bound<'_, PyAny>) -> PyResult<Replay> {
    let (load, server): (Load, Server) = (read(load)?, read(server)?);
    let known = name(&policy);
    let (setup, goal) = server.setup(known.as_deref())?;
    let jobs = py.detach(|| load.jobs())?;
    let broken = Broken::default();
    let chosen: Box<dyn Policy> = match known {
        Some(_) => setup.config.policy.policy(),
        None => Box::new(Chosen::new(py, policy.unbind(), &broken)?),
    };
    let replayed = py.detach(|| {
        replay_with(&jobs, &setup, chosen, &mut || {
            Ok(Python::attach(|py| py.check_signals().and_then(|()| broken.check(py)))?)
        })
    });
    let replayed = replayed.map_err(failed)?;
    broken.check(py)?;
    told(jobs, &replayed, goal)
}

/// What ended a replay: an exception as it is, else what is wrong with the trace or the books.
pub(crate) fn failed(error: cli::simulate::Error) -> PyErr {
    match error.downcast::<PyErr>() {
        Ok(raised) => raised,
        Err(error) => errors::raised("TraceError", &format!("{error:#}")),
    }
}

fn told(jobs: Vec<Job>, replayed: &Replayed, goal: Goal) -> PyResult<Replay> {
    let prompts: Vec<usize> = jobs.iter().map(|job| job.prompt).collect();
    let figures = serde_json::Value::Object(figures::of(replayed, &prompts, goal)).to_string();
    Ok(Replay { figures, outcomes: replayed.outcomes.clone(), jobs })
}
