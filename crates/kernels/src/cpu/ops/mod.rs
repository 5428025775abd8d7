//! The operators.

mod attention;
mod cache;
pub(super) mod eight;
mod experts;
mod gemm;
pub(super) mod gemm_int;
pub(super) mod linear;
mod products;
mod rope;
pub(super) mod rows;
mod softmax;
mod tasks;

pub use cache::KvType;
pub(crate) use cache::Layer;
pub(crate) use experts::Grouping;
pub(crate) use rope::Table;
pub(crate) use tasks::Tasks;

use graph::{Attention, BackendError, Batch, Op};

use super::memory::{as_indices, as_indices_mut};
use super::pool::Pool;
use super::simd::Vector;
use super::weight::Weight;

/// What computes: the threads, the kernels and the room that operators need besides their values.
pub(crate) struct Worker<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) vector: Vector,
    pub(crate) rooms: &'a mut [Room],
    /// Rounded rows of x.
    pub(crate) eight: &'a mut [f32],
    pub(crate) grouping: &'a mut Grouping,
}

/// A thread's room.
#[derive(Debug)]
pub(crate) struct Room {
    product: linear::Room,
    attention: attention::Room,
}

impl Room {
    /// For these attentions over the cache's layers, and products of up to `cols` columns.
    pub(crate) fn new<'a>(
        attentions: impl Iterator<Item = &'a Attention> + Clone,
        layers: &[Layer],
        cols: usize,
    ) -> Result<Room, BackendError> {
        Ok(Room { product: linear::Room::new(cols)?, attention: attention::Room::new(attentions, layers)? })
    }
}

/// What operators read of the step and the model, and the cache that they write.
pub(crate) struct Step<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) tasks: &'a mut Tasks,
    pub(crate) weights: &'a [Weight],
    pub(crate) layers: &'a mut [Layer],
    pub(crate) tables: &'a [Table],
}

/// One input's numbers and how many are in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Input<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) width: usize,
}

/// Whether the operator starts from a copy of its first input in its output (or finds it there) and gets no view of it.
pub(crate) fn in_output(op: &Op) -> bool {
    op.in_place() || matches!(op, Op::RmsNorm { .. } | Op::ExpertBias { .. })
}

/// The values that an operator works on.
pub(crate) struct Values<'a> {
    pub(crate) inputs: [Input<'a>; 2],
    /// The output's rows; where [`in_output`], they hold the first input.
    pub(crate) out: &'a mut [f32],
    /// Elements in a row of the output; 1 if there is none.
    pub(crate) width: usize,
}

/// Computes `op`.
pub(crate) fn compute(cpu: &mut Worker, step: &mut Step, op: &Op, values: Values) {
    let Values { inputs: [a, b], out, width } = values;
    let vector = cpu.vector;
    match op {
        Op::Embed { table } => {
            linear::embed(cpu, step.weights[table.index()].tiles(), &step.batch.tokens, out);
        }
        Op::Linear { weight } => linear::linear(cpu, step.weights[weight.index()].tiles(), a.x, out.len() / width, out),
        Op::AddBias { bias } => {
            let y = step.weights[bias.index()].values();
            each_row(cpu.pool, out, width, |_, x| vector.run(rows::Add { x, y }));
        }
        Op::RmsNorm { weight, eps } => {
            let (weight, eps) = (step.weights[weight.index()].values(), *eps);
            each_row(cpu.pool, out, width, |_, x| vector.run(rows::RmsNorm { x, weight, eps }));
        }
        Op::Add => each_row(cpu.pool, out, width, |i, x| vector.run(rows::Add { x, y: &b.x[i * width..][..width] })),
        Op::Scale { by } => each_row(cpu.pool, out, width, |_, x| vector.run(rows::Scale { x, by: *by })),
        Op::SoftCap { cap } => each_row(cpu.pool, out, width, |_, x| vector.run(rows::SoftCap { x, cap: *cap })),
        Op::Glu { act } => {
            let up = |i: usize| &b.x[i * width..][..width];
            each_row(cpu.pool, out, width, |i, gate| vector.run(rows::Glu { act: *act, gate, up: up(i) }));
        }
        Op::Rope(rope) => {
            let table = step.tables.iter().find(|table| table.is_for(rope)).expect("a table for every rope");
            let (head_dim, style) = (rope.head_dim, rope.style);
            each_row(cpu.pool, out, width, |i, x| {
                vector.run(rope::Turn { x, head_dim, style, turns: table.row(i) });
            });
        }
        Op::KvWrite { layer } => cache::write(cpu, &mut step.layers[*layer], step.batch, a.x, b.x),
        Op::Attention(op) => {
            let (layer, sinks) = (&step.layers[op.layer], op.sinks.map(|id| step.weights[id.index()].values()));
            attention::Heads { op, layer, sinks, batch: step.batch, queries: a.x }.run(cpu, step.tasks, out);
        }
        Op::SelectOutputs => each_row(cpu.pool, out, width, |i, row| {
            row.copy_from_slice(&a.x[step.batch.outputs[i] as usize * width..][..width]);
        }),
        Op::TopK { k } => experts::top_k(a.x, a.width, *k, as_indices_mut(out)),
        Op::GateWeights { scoring } => experts::gate_weights(*scoring, a.x, (a.width, width), as_indices(b.x), out),
        Op::ExpertLinear { weight } => {
            let tiles = step.weights[weight.index()].tiles();
            experts::expert_linear(cpu, tiles, a, as_indices(b.x), out);
        }
        Op::ExpertBias { bias } => {
            let (bias, ids) = (step.weights[bias.index()].values(), as_indices(b.x));
            let width = width / b.width;
            each_row(cpu.pool, out, width, |slot, x| {
                vector.run(rows::Add { x, y: &bias[ids[slot] as usize * width..][..width] });
            });
        }
        Op::ExpertSum => each_row(cpu.pool, out, width, |i, out| {
            let (slots, weights) = (&a.x[i * a.width..][..a.width], &b.x[i * b.width..][..b.width]);
            experts::expert_sum(vector, slots, weights, out);
        }),
    }
}

/// Calls `work(i, row)` for every row, in pieces that are worth handing to a thread.
fn each_row(pool: &Pool, out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    const GRAIN: usize = 8192;
    let rows = GRAIN.div_ceil(width);
    pool.chunks(out, rows * width, |i, chunk| {
        for (j, row) in chunk.chunks_exact_mut(width).enumerate() {
            work(i * rows + j, row);
        }
    });
}
