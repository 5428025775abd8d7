//! What a request through `infer` costs beside the engine alone: one request after the other, of a model that computes
//! nothing, and 32 at once, of one that takes five milliseconds a step: a sixth of what half a billion weights take.

#[path = "../../serve/tests/server/model.rs"]
#[allow(dead_code, unreachable_pub)]
mod model;

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use answer::{Ask, Cancel, Ending, InferRequest, Inference, Input, LoadedModel, ModelInfo, Sampling};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::{
    Continuation, Engine, EngineConfig, Executor, ExecutorError, ExecutorLimits, Prompt, Request, RequestId,
    SamplingParams, SinkState, StopRules, TokenEvent, TokenSink,
};
use graph::Batch;
use model::{END, Scripted, template, tokenizer};
use text::Dialect;

/// Tokens of an answer.
const TOKENS: usize = 64;

/// Requests at once.
const STREAMS: usize = 32;

/// The made-up model, whose steps take so long.
struct Paced {
    scripted: Scripted,
    step: Duration,
}

impl Executor for Paced {
    fn limits(&self) -> ExecutorLimits {
        self.scripted.limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        let began = Instant::now();
        let logits = self.scripted.forward(batch)?;
        while began.elapsed() < self.step {
            std::hint::spin_loop();
        }
        Ok(logits)
    }
}

fn paced(step: Duration) -> Paced {
    let gate: Option<Receiver<()>> = None;
    Paced { scripted: Scripted { kv_blocks: 4096, gate, logits: Vec::new() }, step }
}

fn config() -> EngineConfig {
    EngineConfig { max_sequences: STREAMS, context: 1024, prefix_cache: None, ..EngineConfig::default() }
}

/// Counts only.
struct Nowhere;

impl TokenSink for Nowhere {
    fn state(&self) -> SinkState {
        SinkState::Ready
    }

    fn send(&mut self, _: TokenEvent) {}
}

/// The engine alone, driven here until so many requests are answered.
fn alone(engine: &mut Engine<Paced>, requests: usize, began: Instant) {
    for number in 0..requests {
        let prompt = Prompt::new(vec![u32::from(b'a')]).expect("a token");
        let stop = StopRules { max_tokens: TOKENS, ..StopRules::default() };
        let continuation = Continuation::new(Box::new(Nowhere));
        let params = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        let request = Request { stop, params, ..Request::new(RequestId(number as u64), prompt, vec![continuation]) };
        engine.submit(request, began.elapsed());
    }
    while !engine.is_idle() {
        engine.step(&|| began.elapsed());
    }
}

fn loaded(step: Duration) -> LoadedModel {
    let info = ModelInfo {
        name: "tiny".into(),
        tokenizer: tokenizer(),
        template: Ok(template()),
        dialect: Dialect::of_template(""),
        sampling: Sampling::greedy(),
        stop_tokens: [END].into(),
        created: 0,
    };
    let began = Instant::now();
    LoadedModel::start(info, paced(step), config(), move || began.elapsed(), ()).expect("a thread")
}

fn request() -> InferRequest {
    let ending = Ending { max_tokens: Some(TOKENS), ..Ending::default() };
    InferRequest::new(Ask { ending, ..Ask::new(Input::text("a")) })
}

fn measure(c: &mut Criterion) {
    let (began, cancel) = (Instant::now(), Cancel::new());
    let fine = |inference: Inference| assert!(matches!(inference, Inference::Success(_)), "{inference:?}");
    for (name, step, requests) in [("one", Duration::ZERO, 1), ("32 at once", Duration::from_millis(5), 4 * STREAMS)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements((requests * TOKENS) as u64)).sample_size(10);
        let mut engine = Engine::new(paced(step), config(), ());
        group.bench_function("the engine alone", |b| b.iter(|| alone(&mut engine, requests, began)));
        let model = loaded(step);
        group.bench_function("infer", |b| {
            b.iter_batched(
                || vec![request(); requests],
                |asked| model.blocking().infer_batch(asked, &cancel).for_each(|(_, inference)| fine(inference)),
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, measure);
criterion_main!(benches);
