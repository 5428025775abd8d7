//! The operators.

pub(super) mod activations_bf16;
pub(super) mod activations_q8;
mod adapt;
mod attention;
mod cache;
mod experts;
mod gemm;
pub(super) mod gemm_amx;
pub(super) mod linear;
mod memories;
mod parts;
mod product;
mod recurrent;
mod rope;
pub(super) mod rows;

pub(crate) use attention::QueryChunks;
pub(crate) use cache::Layer;
pub(crate) use experts::Grouping;
pub(crate) use memories::Memories;
use product::Fused;
pub(crate) use recurrent::States;
use recurrent::{CausalConv, GatedDelta, Scan};
pub(crate) use rope::Table;

use std::slice;
use std::sync::Arc;

use graph::{Attention, BackendError, Batch, End, Op, WeightId};

use super::memory::{Buffer, Shared};
use super::named::Kernel;
use super::pool::Pool;
use super::simd::{LANES, Vector};
use super::weight::Weight;

/// What computes: the thread pool, the kernels and the scratch memory that operators need besides their values.
pub(crate) struct Worker<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) vector: Vector,
    /// Of the operator that is computed.
    pub(crate) kernel: Kernel,
    pub(crate) scratch: &'a mut [ThreadScratch],
    /// Rounded rows of x.
    pub(crate) activations: &'a mut [f32],
    /// Rows between the two factors of adapters.
    pub(crate) low: &'a mut Vec<f32>,
    pub(crate) grouping: &'a mut Grouping,
}

/// A thread's scratch memory.
#[derive(Debug)]
pub(crate) struct ThreadScratch {
    product: linear::ProductScratch,
    /// A row, or some heads of one, between two passes.
    row: Buffer<f32>,
    attention: attention::AttentionScratch,
}

impl ThreadScratch {
    /// For these attentions, unfused attention with up to `heads` query heads, and products of up to `cols` columns.
    pub(crate) fn new<'a>(
        attentions: impl Iterator<Item = &'a Attention> + Clone,
        memories: &Memories,
        cols: usize,
        heads: usize,
    ) -> Result<ThreadScratch, BackendError> {
        let group = |layer: &Layer| {
            heads.div_ceil(layer.shape.heads).max(1) * (layer.strips() * LANES).max(layer.query_words())
        };
        let widest = memories.layers().iter().map(group).fold(cols, usize::max);
        Ok(ThreadScratch {
            product: linear::ProductScratch::new()?,
            row: Buffer::zeroed(widest, "scratch")?,
            attention: attention::AttentionScratch::new(attentions, memories)?,
        })
    }
}

/// What operators read of the step and the model, and the memories that they write.
pub(crate) struct Step<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) chunks: &'a mut QueryChunks,
    pub(crate) weights: &'a [Arc<Weight>],
    pub(crate) memories: &'a mut Memories,
    pub(crate) tables: &'a [Table],
    /// Positions of a block of the cache.
    pub(crate) block_len: usize,
}

/// Rows of an input.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Input<'a> {
    /// Their words: numbers, or blocks of [`graph::Elem::Q8`] (`activations_q8.rs`).
    pub(crate) x: &'a [f32],
    /// Columns.
    pub(crate) width: usize,
    pub(crate) rows: usize,
    /// Whether they are rounded to 8 bits.
    pub(crate) rounded: bool,
}

/// Whether the operator works on its first input where its output is: it is copied there first if the plan has it elsewhere. Such
/// an operator gets no view of that input.
pub(crate) fn in_output(op: &Op) -> bool {
    op.in_place()
        || matches!(op, Op::RmsNorm { quantize: false, .. } | Op::LayerNorm { .. })
        || matches!(op, Op::ExpertBias { .. } | Op::ExpertScale { .. } | Op::KeepGroups(_))
}

/// The values that an operator works on.
pub(crate) struct Values<'a> {
    pub(crate) inputs: [Input<'a>; 5],
    pub(crate) arena: Shared<'a, f32>,
    /// Where each output starts in the arena. Where [`in_output`], the first holds the first input.
    pub(crate) starts: &'a [usize],
    /// Rows of the first output, and words in each of them; 0 and 1 if there is none.
    pub(crate) rows: usize,
    pub(crate) words: usize,
    /// Columns of the first output, and whether it is [`graph::Elem::Positions`].
    pub(crate) width: usize,
    pub(crate) by_position: bool,
}

impl<'a> Values<'a> {
    /// The first output's rows.
    fn out(&self) -> &'a mut [f32] {
        #[allow(unsafe_code)]
        // SAFETY: an operator asks for it once at most, and writes nothing of it through the arena then.
        self.starts.first().map_or(&mut [], |&start| unsafe { self.arena.part(start, self.rows * self.words) })
    }
}

/// Computes `op`.
pub(crate) fn compute(cpu: &mut Worker, step: &mut Step, op: &Op, values: Values) {
    let weights = step.weights;
    let fused = |matrices, biases, end, quantize| Fused { weights, matrices, biases, end, quantize, values: &values };
    match op {
        Op::Linear { weight } => fused(slice::from_ref(weight), &[None], &End::Store, false).run(cpu),
        &Op::Adapt { weight } => adapt::compute(cpu, step.batch, weight, &values),
        Op::Product(p) => fused(&p.weights, &p.biases, &p.end, p.quantize).run(cpu),
        Op::Squash(_) | Op::KeepGroups(_) | Op::TopK { .. } | Op::GateWeights { .. } => experts::route(op, values),
        Op::ExpertLinear { .. } | Op::ExpertBias { .. } | Op::ExpertScale { .. } | Op::ExpertSum => {
            experts::compute(cpu, weights, op, values);
        }
        Op::HeadLinear { weight } => {
            experts::head_linear(cpu, weights[weight.index()].tiles(), values.inputs[0], values.out());
        }
        Op::Scores { .. } | Op::Softmax { .. } | Op::Weigh { .. } => {
            attention::unfused::compute(cpu, step, op, &values);
        }
        Op::SoftCap { .. } if values.by_position => attention::unfused::compute(cpu, step, op, &values),
        Op::CausalConv { .. } | Op::GatedDelta(_) | Op::Scan(_) => recurrent(cpu, step, op, &values),
        Op::ScaleBy { .. }
        | Op::LayerNorm { .. }
        | Op::Activate { .. }
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Mul
        | Op::GaussianTopK { .. }
        | Op::UnitNorm { .. } => {
            parts::compute(cpu, weights, op, values);
        }
        _ => rows_of(cpu, step, op, values),
    }
}

/// Computes an operator that works row by row, or head by head.
fn rows_of(cpu: &mut Worker, step: &mut Step, op: &Op, values: Values) {
    let ([a, b, c, ..], width, vector, out) = (values.inputs, values.words, cpu.vector, values.out());
    match op {
        Op::Embed { table } | Op::EmbedPositions { table } | Op::EmbedTypes { table } => {
            linear::embed(cpu, step.weights[table.index()].tiles(), |row| embedded(op, step.batch, row), out);
        }
        Op::Input { .. } => out.copy_from_slice(&step.batch.inputs),
        Op::AddBias { bias } => {
            let y = step.weights[bias.index()].values();
            each_row(cpu.pool, out, width, |_, x| vector.run(rows::Add { x, y }));
        }
        Op::RmsNorm { weight, eps, quantize } => {
            let (weight, eps) = (step.weights[weight.index()].values(), *eps);
            let norm = |x: &mut [f32]| vector.run(rows::RmsNorm { x, weight, eps });
            match quantize {
                false => each_row(cpu.pool, out, width, |_, x| norm(x)),
                true => activations_q8::quantize_with(cpu, a, out, norm),
            }
        }
        Op::Quantize { span } => activations_q8::quantize((cpu.pool, vector), a.x, (a.width, *span), out),
        Op::Add => each_row(cpu.pool, out, width, |i, x| vector.run(rows::Add { x, y: &b.x[i * width..][..width] })),
        Op::Scale { by } => each_row(cpu.pool, out, width, |_, x| vector.run(rows::Scale { x, by: *by })),
        Op::Grow(growth) => {
            for span in &step.batch.spans {
                let part = &mut out[span.rows.start * width..span.rows.end * width];
                let by = |i| growth.at(span.position + i);
                each_row(cpu.pool, part, width, |i, x| vector.run(rows::Scale { x, by: by(i) }));
            }
        }
        Op::SoftCap { cap } => each_row(cpu.pool, out, width, |_, x| vector.run(rows::SoftCap { x, cap: *cap })),
        Op::Glu { act } => {
            let up = |i: usize| &b.x[i * width..][..width];
            each_row(cpu.pool, out, width, |i, gate| vector.run(rows::Glu { act: *act, gate, up: up(i) }));
        }
        Op::Rope(rope) => {
            let table = step.tables.iter().find(|table| table.is_for(rope)).expect("a table for every rope");
            each_row(cpu.pool, out, width, |i, x| vector.run(table.rotate(rope, i, x)));
        }
        Op::RopeKvWrite { rope, layer } => {
            let table = step.tables.iter().find(|table| table.is_for(rope)).expect("a table for every rope");
            let rotate = |i: usize, x: &mut [f32]| vector.run(table.rotate(rope, i, x));
            cache::write(cpu, step.memories.kv_mut(*layer), step.batch, (b.x, c.x), rotate);
            each_row(cpu.pool, out, width, rotate);
        }
        Op::KvWrite { layer } => cache::write(cpu, step.memories.kv_mut(*layer), step.batch, (a.x, b.x), |_, _| {}),
        Op::Attention(op) => {
            let (layer, sinks) = (step.memories.kv(op.layer), op.sinks.map(|id| step.weights[id.index()].values()));
            attention::Heads { op, layer, sinks, batch: step.batch, queries: a.x }.run(cpu, step.chunks, out);
        }
        Op::SelectOutputs => each_row(cpu.pool, out, width, |i, row| {
            row.copy_from_slice(&a.x[step.batch.outputs[i] as usize * width..][..width]);
        }),
        _ => unreachable!("computed by another function"),
    }
}

/// The row of its table that an operator takes for a row of the batch.
fn embedded(op: &Op, batch: &Batch, row: usize) -> usize {
    match op {
        Op::EmbedTypes { .. } => batch.kind(row) as usize,
        Op::EmbedPositions { .. } => {
            let span = &batch.spans[batch.spans.partition_point(|span| span.rows.end <= row)];
            span.position + row - span.rows.start
        }
        _ => batch.tokens[row] as usize,
    }
}

/// Computes an operator that brings the states of sequences forward.
fn recurrent(cpu: &mut Worker, step: &mut Step, op: &Op, values: &Values) {
    let (inputs, out) = (values.inputs.map(|input| input.x), values.out());
    let weights = step.weights;
    let weight = |id: WeightId| weights[id.index()].values();
    match op {
        Op::CausalConv { layer, weight: taps } => {
            let conv = CausalConv { x: inputs[0], taps: weight(*taps), channels: values.width };
            conv.run(cpu, step.memories.states_mut(*layer), step.batch, out);
        }
        Op::GatedDelta(op) => {
            let [q, k, v, decay, rate] = inputs;
            let delta = GatedDelta { op, q, k, v, decay, rate };
            delta.run(cpu, step.memories.states_mut(op.layer), step.batch, out);
        }
        Op::Scan(op) => {
            let [x, b, c, time, _] = inputs;
            let scan = Scan { op, x, b, c, step: time, decay: weight(op.decay), skip: weight(op.skip) };
            scan.run(cpu, step.memories.states_mut(op.layer), step.batch, out);
        }
        _ => unreachable!("computed by another function"),
    }
}

/// A place among a step's values, as lists of them hold it.
fn index(place: usize) -> u32 {
    u32::try_from(place).expect("a program refuses limits by which a value has more words")
}

/// Calls `work(i, row)` for every row, in chunks that are worth handing to a thread.
fn each_row(pool: &Pool, out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    const GRAIN: usize = 8192;
    let rows = GRAIN.div_ceil(width);
    pool.chunks(out, rows * width, |i, chunk| {
        for (j, row) in chunk.chunks_exact_mut(width).enumerate() {
            work(i * rows + j, row);
        }
    });
}
