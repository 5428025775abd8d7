//! Runs a graph over sequences of tokens, on any backend.

use std::sync::Arc;

use graph::{Backend, Batch, Graph, KvType, Limits, WeightId};
use model::Model;

use crate::{Error, Progress};

/// Positions in a block of the KV cache.
pub(crate) const BLOCK_LEN: usize = 16;

/// The weights of a model on a backend, in the order of its graph's. A copy shares them.
pub struct Weights<B: Backend>(Vec<Arc<B::Weight>>);

impl<B: Backend> Clone for Weights<B> {
    fn clone(&self) -> Weights<B> {
        Weights(self.0.clone())
    }
}

impl<B: Backend> Weights<B> {
    /// Weights that were brought to the backend already, in the order of the graph's.
    pub fn new(all: Vec<Arc<B::Weight>>) -> Weights<B> {
        Weights(all)
    }

    /// Brings all weights of `model` to the backend.
    ///
    /// # Errors
    /// If the files give wrong data or the memory is short.
    pub fn upload(backend: &B, model: &Model, progress: Progress) -> Result<Weights<B>, Error> {
        let graph = model.graph();
        let total = graph.weights().iter().filter_map(graph::WeightInfo::bytes).sum::<usize>() as u64;
        let (mut all, mut done) = (Vec::new(), 0);
        for id in graph.weight_ids() {
            let bytes = model.read(id)?;
            all.push(Arc::new(backend.upload(graph.weight(id), &bytes)?));
            done += bytes.len() as u64;
            progress("loading", done, total);
        }
        Ok(Weights(all))
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<B::Weight>> {
        self.0.clone()
    }

    /// What all of them take together, by what each takes.
    pub fn bytes(&self, of: impl Fn(&B::Weight) -> u64) -> u64 {
        self.0.iter().map(|weight| of(weight)).sum()
    }

    /// These of them, in their order.
    pub(crate) fn of(&self, ids: &[WeightId]) -> Weights<B> {
        Weights(ids.iter().map(|id| Arc::clone(&self.0[id.index()])).collect())
    }

    /// The same, with another weight in the place of one; it shares all others.
    pub fn with(&self, id: WeightId, weight: B::Weight) -> Weights<B> {
        let mut all = self.0.clone();
        all[id.index()] = Arc::new(weight);
        Weights(all)
    }
}

/// Refuses a model whose outputs are no logits.
///
/// # Errors
/// If it is one.
pub(crate) fn check_logits(model: &Model) -> Result<(), Error> {
    if model.spec().continues() {
        return Ok(());
    }
    let problem = "the model gives vectors or scores of texts, no logits that could be compared";
    Err(Error::Request(format!("{problem}; `lab quantize --data TEXT --type TYPE` and `convert` make it smaller")))
}

/// A graph in the form in which the backend computes it, without the rules of these names.
///
/// # Errors
/// If there is no rule of a name.
pub fn fused<B: Backend>(backend: &B, graph: &Graph, without: &[&str]) -> Result<Graph, Error> {
    let fused = graph::fuse(graph, backend.device().rules, without);
    Ok(fused.map_err(|e| Error::Request(e.to_string()))?.graph)
}

/// A graph compiled for one sequence at a time.
pub struct Runner<'b, B: Backend> {
    backend: &'b B,
    program: B::Program,
    batch: Batch,
    rows: usize,
    width: usize,
    longest: usize,
    has_state: bool,
}

impl<'b, B: Backend> Runner<'b, B> {
    /// Compiles `graph` for sequences of up to `longest` tokens, `rows` of them at once.
    ///
    /// # Errors
    /// If the memory is short or the backend lacks an operator.
    pub fn new(
        backend: &'b B,
        graph: &Graph,
        weights: &Weights<B>,
        longest: usize,
        rows: usize,
    ) -> Result<Runner<'b, B>, Error> {
        let rows = rows.clamp(1, longest.max(1));
        let limits = Limits {
            max_tokens: rows,
            max_outputs: rows,
            kv_blocks: longest.div_ceil(BLOCK_LEN),
            block_len: BLOCK_LEN,
            kv_type: KvType::default(),
            state_slots: usize::from(graph.state_len() > 0),
        };
        let program = backend.compile(graph, weights.0.clone(), limits)?;
        let (width, has_state) = (graph.output_width(), graph.state_len() > 0);
        Ok(Runner { backend, program, batch: Batch::default(), rows, width, longest, has_state })
    }

    /// Computes a sequence, and calls `each` with the position and the output of every token from `first` on, some rows at a time:
    /// the position of the first of them, and `[rows, width]` numbers.
    ///
    /// # Errors
    /// If the sequence is too long, or the backend fails; and what `each` gives.
    pub fn run(
        &mut self,
        tokens: &[u32],
        first: usize,
        each: impl FnMut(usize, &[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.run_on((tokens, &[]), first, each)
    }

    /// As [`Runner::run`], of a stage that takes a row for each token from the stage before.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub(crate) fn run_on(
        &mut self,
        (tokens, inputs): (&[u32], &[f32]),
        first: usize,
        mut each: impl FnMut(usize, &[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if tokens.len() > self.longest {
            return Err(Error::Request(format!("{} tokens where {} were prepared for", tokens.len(), self.longest)));
        }
        let blocks = 0..tokens.len().div_ceil(BLOCK_LEN) as u32;
        let width = inputs.len() / tokens.len().max(1);
        for (start, chunk) in (0..).step_by(self.rows).zip(tokens.chunks(self.rows)) {
            self.batch.clear();
            let rows = self.batch.push_with_state(chunk, start, blocks.clone(), self.has_state.then_some(0));
            self.batch.outputs.extend(rows.filter(|row| start + row >= first).map(|row| row as u32));
            self.batch.inputs.extend_from_slice(&inputs[start * width..(start + chunk.len()) * width]);
            self.backend.run(&mut self.program, &self.batch)?;
            if !self.batch.outputs.is_empty() {
                each(start.max(first), self.backend.download(&self.program))?;
            }
        }
        Ok(())
    }

    /// Computes one more token of the sequence that was run last.
    ///
    /// # Errors
    /// If the sequence is too long, or the backend fails.
    pub fn next(&mut self, token: u32, position: usize) -> Result<&[f32], Error> {
        self.batch.clear();
        let blocks = 0..self.longest.div_ceil(BLOCK_LEN) as u32;
        self.batch.push_with_state(&[token], position, blocks, self.has_state.then_some(0));
        self.batch.outputs.push(0);
        self.backend.run(&mut self.program, &self.batch)?;
        Ok(self.backend.download(&self.program))
    }

    /// Numbers in a row of the output.
    pub fn width(&self) -> usize {
        self.width
    }
}
