//! A program of a model on its own, to be measured: its weights are those of the model, its cache is small.

use std::time::Duration;

use graph::{Backend, Batch, Graph, Limits};
use kernels::{Choice, Cpu, Program, Tuning};

use super::cost::Shape;
use crate::{BLOCK_LEN, Error, Prepared};

/// Computes steps of some shapes, and says how long each operator takes.
pub struct Workbench {
    cpu: Cpu,
    program: Program,
    graph: Graph,
    /// Blocks of a sequence.
    blocks: usize,
    slots: bool,
}

impl Workbench {
    /// For steps of these shapes. The weights are shared with other models of this process.
    ///
    /// # Errors
    /// If the memory is short or the files give wrong data.
    pub fn new(prepared: &Prepared, cpu: Cpu, shapes: &[Shape]) -> Result<Workbench, Error> {
        let most = |f: fn(&Shape) -> usize| shapes.iter().map(f).max().unwrap_or(1).max(1);
        let (sequences, positions) = (most(|shape| shape.sequences), most(Shape::positions));
        let blocks = positions.div_ceil(BLOCK_LEN);
        let slots = prepared.limits.state_slots > 0;
        let limits = Limits {
            max_tokens: most(Shape::tokens).max(FILL),
            max_outputs: sequences,
            kv_blocks: blocks * sequences,
            block_len: BLOCK_LEN,
            kv_type: prepared.limits.kv_type,
            state_slots: if slots { sequences } else { 0 },
        };
        let (program, graph) = prepared.program_on(&cpu, limits)?;
        let mut bench = Workbench { cpu, program, graph, blocks, slots };
        bench.fill(most(|shape| shape.context), sequences)?;
        Ok(bench)
    }

    /// The graph that is computed.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Chooses the kernels.
    pub fn tuning(&self) -> &Tuning {
        self.program.tuning()
    }

    /// How long each node takes with these kernels: the median of so many steps, after one that is not counted.
    ///
    /// # Errors
    /// If a step cannot be computed.
    pub fn measure(&mut self, shape: &Shape, choice: Choice, repeats: usize) -> Result<Vec<Duration>, Error> {
        let batch = self.batch(shape);
        self.tuning().choose(choice);
        self.cpu.run(&mut self.program, &batch)?;
        self.tuning().measure(true);
        let mut all: Vec<Vec<Duration>> = vec![vec![]; self.graph.nodes().len()];
        for _ in 0..repeats.max(1) {
            self.tuning().take_times();
            self.cpu.run(&mut self.program, &batch)?;
            for (times, now) in all.iter_mut().zip(self.tuning().take_times()) {
                times.push(now.iter().map(|time| time.total).sum());
            }
        }
        self.tuning().measure(false);
        Ok(all.into_iter().map(median).collect())
    }

    /// The sequences of a step. Its rows come after the context, which is there.
    fn batch(&self, shape: &Shape) -> Batch {
        let mut batch = Batch::default();
        for sequence in 0..shape.sequences {
            let rows = self.push(&mut batch, sequence, shape.context, shape.rows);
            batch.outputs.push(rows as u32 - 1);
        }
        batch
    }

    /// Adds rows of a sequence; gives the rows of the batch.
    fn push(&self, batch: &mut Batch, sequence: usize, position: usize, rows: usize) -> usize {
        let vocabulary = self.graph.tokens();
        let token = |at: usize| ((sequence * 7919 + at * 104_729) % vocabulary) as u32;
        let tokens: Vec<u32> = (position..position + rows).map(token).collect();
        let first = (sequence * self.blocks) as u32;
        let state = self.slots.then_some(sequence as u32);
        batch.push_with_state(&tokens, position, first..first + self.blocks as u32, state).end
    }

    /// Computes the context of the first sequence, which the others copy: what attention reads is not empty memory.
    fn fill(&mut self, context: usize, sequences: usize) -> Result<(), Error> {
        for position in (0..context).step_by(FILL) {
            let mut batch = Batch::default();
            self.push(&mut batch, 0, position, FILL.min(context - position));
            self.cpu.run(&mut self.program, &batch)?;
        }
        let mut batch = Batch::default();
        for sequence in 1..sequences {
            let copies = (0..self.blocks).map(|block| (block as u32, (sequence * self.blocks + block) as u32));
            batch.copies.extend(copies);
            batch.state_copies.extend(self.slots.then_some((0, sequence as u32)));
        }
        self.push(&mut batch, 0, context, 1);
        Ok(self.cpu.run(&mut self.program, &batch)?)
    }
}

/// Rows with which the context is computed.
const FILL: usize = 64;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
