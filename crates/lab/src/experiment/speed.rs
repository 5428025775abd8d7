//! Tokens a second, measured in turns, so that whatever else the machine does falls on all alike.

use std::time::Instant;

use graph::{Backend, Batch, KvType, Limits};
use model::Model;

use crate::runner::{BLOCK_LEN, Weights, fused};
use crate::{Error, Progress, Speed};

/// Tokens of each prompt where many sequences are decoded at once.
const SHORT: usize = 16;

/// How long it is measured.
#[derive(Clone, Copy, Debug)]
pub struct SpeedOptions {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens that are decoded, one after the other.
    pub decode: usize,
    /// Sequences that are decoded at once; each gets as many tokens.
    pub streams: usize,
    /// Turns.
    pub turns: usize,
}

/// The speed of each model, the median of all turns; all of them are in memory at once.
///
/// # Errors
/// If a model cannot be run.
pub fn speed<B: Backend>(
    backend: &B,
    models: &[(&Model, &Weights<B>)],
    options: &SpeedOptions,
    progress: Progress,
) -> Result<Vec<Speed>, Error> {
    let timed = |(model, weights): &(&Model, &Weights<B>)| Timed::new(backend, model, weights, options);
    let mut timed = models.iter().map(timed).collect::<Result<Vec<_>, _>>()?;
    let mut all: Vec<Vec<Speed>> = vec![vec![]; models.len()];
    for turn in 0..options.turns {
        for (timed, speeds) in timed.iter_mut().zip(&mut all) {
            speeds.push(timed.turn(options)?);
        }
        progress("measuring speed", turn as u64 + 1, options.turns as u64);
    }
    Ok(all.into_iter().map(median).collect())
}

/// A model that is measured.
struct Timed<'b, B: Backend> {
    backend: &'b B,
    program: B::Program,
    batch: Batch,
    /// Blocks of the KV cache that each sequence has.
    blocks: usize,
    vocab: usize,
    has_state: bool,
}

impl<'b, B: Backend> Timed<'b, B> {
    fn new(backend: &'b B, model: &Model, weights: &Weights<B>, options: &SpeedOptions) -> Result<Timed<'b, B>, Error> {
        let SpeedOptions { prompt, decode, streams, .. } = *options;
        let graph = fused(backend, model.graph(), &[])?;
        let (streams, has_state) = (streams.max(1), graph.state_len() > 0);
        // The one sequence with the long prompt has the blocks of the first of many.
        let blocks = (prompt.max(SHORT) + decode).div_ceil(BLOCK_LEN);
        let limits = Limits {
            max_tokens: prompt.max(SHORT * streams),
            max_outputs: streams,
            kv_blocks: blocks * streams,
            block_len: BLOCK_LEN,
            kv_type: KvType::default(),
            state_slots: if has_state { streams } else { 0 },
        };
        let program = backend.compile(&graph, weights.all(), limits)?;
        Ok(Timed { backend, program, batch: Batch::default(), blocks, vocab: model.graph().tokens(), has_state })
    }

    fn turn(&mut self, options: &SpeedOptions) -> Result<Speed, Error> {
        let SpeedOptions { prompt, decode, streams, .. } = *options;
        let prefill = prompt as f64 / self.seconds(1, 0, prompt)?;
        let one = self.decoded(1, prompt, decode)?;
        self.seconds(streams, 0, SHORT)?;
        Ok(Speed { prefill, decode: one, streams: self.decoded(streams, SHORT, decode)? })
    }

    /// Tokens a second of so many sequences that go on from `from`.
    fn decoded(&mut self, streams: usize, from: usize, tokens: usize) -> Result<f64, Error> {
        let mut seconds = 0.0;
        for position in from..from + tokens {
            seconds += self.seconds(streams, position, 1)?;
        }
        Ok((streams * tokens) as f64 / seconds)
    }

    /// How long a batch takes with so many tokens of each sequence.
    fn seconds(&mut self, streams: usize, position: usize, tokens: usize) -> Result<f64, Error> {
        self.batch.clear();
        for stream in 0..streams {
            let row: Vec<u32> = (0..tokens).map(|i| ((stream + position + i) * 7919 % self.vocab) as u32).collect();
            let blocks = (stream * self.blocks) as u32..((stream + 1) * self.blocks) as u32;
            let rows = self.batch.push_with_state(&row, position, blocks, self.has_state.then_some(stream as u32));
            self.batch.outputs.push(rows.end as u32 - 1);
        }
        let started = Instant::now();
        self.backend.run(&mut self.program, &self.batch)?;
        Ok(started.elapsed().as_secs_f64())
    }
}

fn median(mut speeds: Vec<Speed>) -> Speed {
    let mut middle = |of: fn(&Speed) -> f64| {
        speeds.sort_by(|a, b| of(a).total_cmp(&of(b)));
        speeds.get(speeds.len() / 2).map_or(0.0, of)
    };
    Speed { prefill: middle(|s| s.prefill), decode: middle(|s| s.decode), streams: middle(|s| s.streams) }
}
