//! What it costs that an engine is composed: a step of the engine as `whinchat serve` has it, of one whose stages are all given to it through
//! their traits, and of a loop with everything written into it by hand, on an executor that computes nothing.
//!
//! The loop does what cannot be left out: blocks, the batch, the most likely token, its delivery. It admits, cancels, shares, measures
//! and forecasts nothing, so what the engine takes longer is more than the price of its seams; the two engines differ by the seams alone.
//! Turns of all three stand beside each other. What else the machine does only adds to some of them: the lower quartiles count.

use std::time::{Duration, Instant};

use engine::{
    BlockManager, Continuation, Engine, EngineConfig, Eviction, Executor, ExecutorError, ExecutorLimits, FirstCome,
    LocalBlocks, Managing, Prompt, Request, RequestId, Setup, SinkState, StopRules, TokenEvent, TokenSink,
};
use graph::Batch;

const BLOCK: usize = 32;
const VOCAB: usize = 32;
const PROMPT: usize = 64;
/// Steps in a turn, and turns.
const STEPS: usize = 50;
const TURNS: usize = 200;
const LONGEST: usize = PROMPT + (TURNS + 2) * STEPS;

/// Gives the same logits to everybody.
struct Nothing {
    logits: Vec<f32>,
    streams: usize,
}

impl Nothing {
    fn new(streams: usize) -> Nothing {
        let row = (0..VOCAB).map(|id| if id == 7 { 1.0 } else { 0.0 });
        Nothing { logits: row.cycle().take(streams * VOCAB).collect(), streams }
    }
}

impl Executor for Nothing {
    fn limits(&self) -> ExecutorLimits {
        let kv_blocks = self.streams * (LONGEST.div_ceil(BLOCK) + 1);
        ExecutorLimits {
            max_tokens: self.streams * PROMPT,
            max_outputs: self.streams,
            kv_blocks,
            block_len: BLOCK,
            state_slots: 0,
            vocab: VOCAB,
        }
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        Ok(&self.logits[..batch.outputs.len() * VOCAB])
    }
}

/// Counts tokens.
struct Counter(u64);

impl TokenSink for Counter {
    fn state(&self) -> SinkState {
        SinkState::Ready
    }

    fn send(&mut self, event: TokenEvent) {
        self.0 += u64::from(matches!(event, TokenEvent::Token(_)));
    }
}

fn config() -> EngineConfig {
    EngineConfig {
        max_sequences: 64,
        context: LONGEST,
        prefix_cache: Some(Eviction::Lru),
        prefix_tokens: Some(0),
        ..EngineConfig::default()
    }
}

fn prompt(stream: usize) -> Vec<u32> {
    (0..PROMPT).map(|at| ((stream + at) % VOCAB) as u32).collect()
}

/// Something that steps.
type Steps = Box<dyn FnMut()>;

fn engine<E: Executor + 'static>(executor: E, setup: Setup, streams: usize) -> Steps {
    let mut engine = Engine::of(executor, setup, ());
    for stream in 0..streams {
        let prompt = Prompt::new(prompt(stream)).expect("tokens");
        let stop = StopRules { max_tokens: LONGEST - PROMPT, ..StopRules::default() };
        let request = Request {
            stop,
            ..Request::new(RequestId(stream as u64), prompt, vec![Continuation::new(Box::new(Counter(0)))])
        };
        engine.submit(request, Duration::ZERO);
    }
    let start = Instant::now();
    // Prompts may take more than one step.
    while engine.step(&|| start.elapsed()).work.decode_rows < streams {}
    Box::new(move || {
        let report = engine.step(&|| start.elapsed());
        assert_eq!(report.work.decode_rows, streams, "everybody is in each step");
    })
}

/// As the settings say: the stages of this process.
fn composed(streams: usize) -> Steps {
    engine(Nothing::new(streams), config().into(), streams)
}

/// The same stages, each behind its trait, as those that are elsewhere.
fn behind_traits(streams: usize) -> Steps {
    let executor: Box<dyn Executor> = Box::new(Nothing::new(streams));
    let memory = |managing: Managing| -> Box<dyn BlockManager> { Box::new(LocalBlocks::new(managing)) };
    let setup =
        Setup { config: config(), policy: Some(Box::new(FirstCome)), memory: Some(Box::new(memory)), draft: None };
    engine(executor, setup, streams)
}

/// One sequence of the loop that is written by hand.
struct Stream {
    tokens: Vec<u32>,
    table: Vec<u32>,
    computed: usize,
    sink: Counter,
}

/// The loop that is written by hand.
fn by_hand(streams: usize) -> Steps {
    let mut executor = Nothing::new(streams);
    let mut free: Vec<u32> = (0..executor.limits().kv_blocks as u32).rev().collect();
    let mut all: Vec<Stream> = (0..streams)
        .map(|at| Stream { tokens: prompt(at), table: Vec::new(), computed: 0, sink: Counter(0) })
        .collect();
    let mut batch = Batch::default();
    Box::new(move || {
        batch.clear();
        for stream in &mut all {
            while stream.table.len() * BLOCK < stream.tokens.len() {
                stream.table.push(free.pop().expect("there are enough"));
            }
            let rows = batch.push(&stream.tokens[stream.computed..], stream.computed, stream.table.iter().copied());
            batch.outputs.push(rows.end as u32 - 1);
        }
        let logits = executor.forward(&batch).expect("it computes nothing");
        for (stream, row) in all.iter_mut().zip(logits.chunks_exact(VOCAB)) {
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |best| best.0 as u32);
            stream.computed = stream.tokens.len();
            stream.tokens.push(best);
            stream.sink.0 += 1;
        }
    })
}

fn main() {
    println!("streams  composed  behind traits  by hand   composed - by hand   behind traits - composed   (µs a step)");
    for streams in [1, 4, 32] {
        let mut all = [composed(streams), behind_traits(streams), by_hand(streams)];
        let mut took = [(); 3].map(|()| Vec::with_capacity(TURNS));
        all.iter_mut().for_each(|steps| _ = turn(steps));
        for number in 0..TURNS {
            for at in 0..3 {
                let at = (at + number) % 3;
                took[at].push(turn(&mut all[at]));
            }
        }
        let [composed, traits, hand] = took.map(lower_quartile);
        println!(
            "{streams:7} {composed:9.2} {traits:14.2} {hand:8.2} {:20.2} {:26.2}",
            composed - hand,
            traits - composed
        );
    }
}

/// Microseconds a step.
fn turn(steps: &mut Steps) -> f64 {
    let began = Instant::now();
    (0..STEPS).for_each(|_| steps());
    began.elapsed().as_secs_f64() * 1e6 / STEPS as f64
}

fn lower_quartile(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 4]
}
