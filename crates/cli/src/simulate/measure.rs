//! How long the steps of a real engine take, from a short load of prompts and answers of many lengths.

use std::time::{Duration, Instant};

use anyhow::Context;
use engine::{
    Continuation, Engine, EngineConfig, Executor, LatencyModel, Prompt, Request, RequestId, SinkState, StopRules,
    TokenEvent, TokenSink,
};

use super::cost::Cost;

/// How long the load goes on at most.
const ENOUGH: Duration = Duration::from_secs(20);

/// Requests of the load.
const REQUESTS: usize = 48;

/// Every so many steps a request comes.
const DISTANCE: u64 = 3;

/// Drops everything.
struct Nowhere;

impl TokenSink for Nowhere {
    fn state(&self) -> SinkState {
        SinkState::Ready
    }

    fn send(&mut self, _: TokenEvent) {}
}

/// The costs of an engine's steps: computing, sampling and what is between two steps.
///
/// # Errors
/// If the load is over before enough steps are known.
pub fn measure(executor: impl Executor, config: EngineConfig, longest: usize) -> anyhow::Result<Cost> {
    let vocab = executor.limits().vocab;
    let mut engine = Engine::new(executor, EngineConfig { prefix_cache: None, ..config }, ());
    let mut model = LatencyModel::default();
    let began = Instant::now();
    let (mut submitted, mut steps) = (0, 0);
    let mut before = began.elapsed();
    while began.elapsed() < ENOUGH && (submitted < REQUESTS || !engine.is_idle()) {
        if submitted < REQUESTS && (steps % DISTANCE == 0 || engine.is_idle()) {
            engine.submit(request(submitted, longest, vocab), began.elapsed());
            submitted += 1;
        }
        let report = engine.step(&|| began.elapsed());
        let now = began.elapsed();
        // The first steps warm caches.
        if report.rows() > 0 && steps >= DISTANCE {
            model.learn(report.work, now - before);
        }
        before = now;
        steps += 1;
    }
    engine.abort_all();
    Cost::fitted(&model).with_context(|| format!("{steps} steps in {} s are too few to fit", ENOUGH.as_secs()))
}

/// Prompts of up to half the context and answers of up to 64 tokens, short and long in turn.
fn request(number: usize, longest: usize, vocab: usize) -> Request {
    let length = (16 + number * 397 % 1024).clamp(1, (longest / 2).max(1));
    let tokens: Vec<u32> = (0..length).map(|at| ((number * 7919 + at * 104_729) % vocab.max(1)) as u32).collect();
    let prompt = Prompt::new(tokens).expect("at least one token");
    let stop = StopRules { max_tokens: 8 + number * 29 % 57, ..StopRules::default() };
    Request { stop, ..Request::new(RequestId(number as u64), prompt, vec![Continuation::new(Box::new(Nowhere))]) }
}
