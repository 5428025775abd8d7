//! Stages of a model on devices of their own, one after the other.

use std::sync::Arc;

use graph::{Batch, Graph, MemoryPart};

use crate::{Executor, ExecutorError, ExecutorLimits, Instruments, Spread, Tier};

/// An executor whose batches go through several others: each computes some of the layers, keeps what these remember of sequences, and
/// hands its rows to the next. One batch is under way at a time.
pub struct Pipeline {
    stages: Vec<PipelineStage>,
    /// What the next stage is given.
    batch: Batch,
    tier: Option<Box<dyn Tier>>,
    fingerprint: [u8; 32],
}

/// A stage of a [`Pipeline`].
pub struct PipelineStage {
    executor: Box<dyn Executor>,
    /// Whether it has a KV cache, and whether it has recurrent states.
    has: [bool; 2],
    /// Bytes that a block and a state take when they are saved, once they are known.
    saved: [Option<usize>; 2],
}

impl PipelineStage {
    /// What computes this part of a graph ([`graph::split`]). All but the last have as many output rows as rows.
    pub fn new(executor: Box<dyn Executor>, graph: &Graph) -> PipelineStage {
        PipelineStage { executor, has: [graph.kv().next().is_some(), graph.state_len() > 0], saved: [None; 2] }
    }

    fn has(&self, part: MemoryPart) -> bool {
        self.has[kind(part)]
    }

    /// Bytes of a part of its memories; `None` if it cannot save it.
    fn len(&mut self, part: MemoryPart, scratch: &mut Vec<u8>) -> Option<usize> {
        if !self.has(part) {
            return Some(0);
        }
        let kind = kind(part);
        if self.saved[kind].is_none() {
            scratch.clear();
            self.saved[kind] = self.executor.save(part, scratch).then_some(scratch.len());
        }
        self.saved[kind]
    }
}

fn kind(part: MemoryPart) -> usize {
    match part {
        MemoryPart::Block(_) => 0,
        MemoryPart::State(_) => 1,
    }
}

impl Pipeline {
    /// Joins the stages of a graph, in their order.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(stages: Vec<PipelineStage>) -> Pipeline {
        assert!(!stages.is_empty(), "a pipeline has a stage at least");
        Pipeline { stages, batch: Batch::default(), tier: None, fingerprint: [0; 32] }
    }

    /// With a place for what the KV cache evicts, and a name for the model and the form of its memories.
    #[must_use]
    pub fn keeping(self, tier: Option<Box<dyn Tier>>, fingerprint: [u8; 32]) -> Pipeline {
        Pipeline { tier, fingerprint, ..self }
    }

    fn last(&self) -> &dyn Executor {
        &*self.stages[self.stages.len() - 1].executor
    }
}

impl Executor for Pipeline {
    fn limits(&self) -> ExecutorLimits {
        self.last().limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        let Pipeline { stages, batch: passed, .. } = self;
        let last = stages.len() - 1;
        copy(batch, passed);
        for stage in &mut stages[..last] {
            let rows = stage.executor.forward(passed)?;
            passed.inputs.clear();
            passed.inputs.extend_from_slice(rows);
        }
        passed.outputs.clone_from(&batch.outputs);
        passed.top.clone_from(&batch.top);
        stages[last].executor.forward(passed)
    }

    /// What the last stage was given: where it is a model's head alone, that is what this reads.
    fn hidden(&self) -> &[f32] {
        &self.batch.inputs
    }

    fn forget(&mut self, blocks: &[u32]) {
        self.stages.iter_mut().for_each(|stage| stage.executor.forget(blocks));
    }

    fn forget_states(&mut self, slots: &[u32]) {
        self.stages.iter_mut().for_each(|stage| stage.executor.forget_states(slots));
    }

    fn spread(&self) -> Arc<dyn Spread> {
        Arc::new(AnyOf(self.stages.iter().map(|stage| stage.executor.spread()).collect()))
    }

    fn is_shared(&self) -> bool {
        self.stages.iter().any(|stage| stage.executor.is_shared())
    }

    fn top(&self) -> usize {
        self.last().top()
    }

    fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    fn tier(&mut self) -> Option<Box<dyn Tier>> {
        self.tier.take()
    }

    fn register(&mut self, instruments: &Instruments) {
        self.stages.iter_mut().for_each(|stage| stage.executor.register(instruments));
    }

    fn save(&mut self, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        let mut stages = self.stages.iter_mut().filter(|stage| stage.has(part)).peekable();
        stages.peek().is_some() && stages.all(|stage| stage.executor.save(part, bytes))
    }

    fn load(&mut self, part: MemoryPart, bytes: &[u8]) -> bool {
        let mut scratch = Vec::new();
        let lens: Option<Vec<usize>> = self.stages.iter_mut().map(|stage| stage.len(part, &mut scratch)).collect();
        let Some(lens) = lens.filter(|lens| lens.iter().sum::<usize>() == bytes.len() && !bytes.is_empty()) else {
            return false;
        };
        let mut at = 0;
        self.stages.iter_mut().zip(lens).filter(|(stage, _)| stage.has(part)).all(|(stage, len)| {
            at += len;
            stage.executor.load(part, &bytes[at - len..at])
        })
    }
}

/// Copies a batch, all of whose rows are wanted; what the memory of `to` holds already is used again.
fn copy(from: &Batch, to: &mut Batch) {
    // Stages take no adapters: `Executor::adapts`.
    let Batch { tokens, types, spans, blocks, outputs: _, copies, state_copies, inputs, adapters: _, top: _ } = from;
    to.tokens.clone_from(tokens);
    to.types.clone_from(types);
    to.spans.clone_from(spans);
    to.blocks.clone_from(blocks);
    to.copies.clone_from(copies);
    to.state_copies.clone_from(state_copies);
    to.inputs.clone_from(inputs);
    to.outputs.clear();
    to.outputs.extend(0..tokens.len() as u32);
    to.top.clear();
}

/// The threads of the first stage that has any to spare.
struct AnyOf(Vec<Arc<dyn Spread>>);

impl Spread for AnyOf {
    fn each(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        self.0.iter().any(|threads| threads.each(tasks, work))
    }
}
