//! Mixture of experts: choosing, weighting, and products with the chosen experts only.

use std::sync::Arc;

use graph::{GateScoring, Groups, Op, Squash};

use crate::cpu::memory::{Shared, as_indices, as_indices_mut};
use crate::cpu::ops::linear::{Cut, Product, Slots, rounded};
use crate::cpu::ops::rows::{Add, AddScaled, Scale};
use crate::cpu::ops::{Input, Values, Worker, each_row, index};
use crate::cpu::simd::Vector;
use crate::cpu::tiles::Tiles;
use crate::cpu::weight::Weight;

/// Slots, grouped by their experts. Its memory is kept from step to step.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    /// Slots, those of the same expert side by side.
    slots: Vec<u32>,
    /// For each expert, the end of its slots.
    ends: Vec<u32>,
    /// The experts that have slots.
    active: Vec<u32>,
}

impl Grouping {
    /// For so many slots and experts.
    pub(crate) fn new(slots: usize, experts: usize) -> Grouping {
        Grouping {
            slots: Vec::with_capacity(slots),
            ends: Vec::with_capacity(experts),
            active: Vec::with_capacity(experts),
        }
    }

    /// Groups slots by the expert of each, by counting.
    fn group(&mut self, ids: &[u32], experts: usize) {
        self.ends.clear();
        self.ends.resize(experts, 0);
        ids.iter().for_each(|&id| self.ends[id as usize] += 1);
        self.active.clear();
        self.active.extend((0..index(experts)).filter(|&id| self.ends[id as usize] > 0));
        let mut next = 0;
        for end in &mut self.ends {
            // For now the start. Each slot that is placed moves it on, until it is the end.
            (*end, next) = (next, next + *end);
        }
        self.slots.clear();
        self.slots.resize(ids.len(), 0);
        for (slot, &id) in ids.iter().enumerate() {
            let place = &mut self.ends[id as usize];
            self.slots[*place as usize] = index(slot);
            *place += 1;
        }
    }

    fn slots(&self, expert: usize) -> &[u32] {
        let start = if expert == 0 { 0 } else { self.ends[expert - 1] };
        &self.slots[start as usize..self.ends[expert] as usize]
    }
}

/// Computes the operators that choose experts.
pub(super) fn route(op: &Op, values: Values) {
    let ([a, b, ..], width, out) = (values.inputs, values.words, values.out());
    match op {
        Op::Squash(by) => squash(*by, a.x, a.width, out),
        Op::KeepGroups(groups) => keep_groups(*groups, width, out),
        Op::TopK { k } => top_k(a.x, a.width, *k, as_indices_mut(out)),
        Op::GateWeights { scoring } => gate_weights(*scoring, a.x, (a.width, width), as_indices(b.x), out),
        _ => unreachable!("chooses no experts"),
    }
}

/// Computes the operators of the experts themselves.
pub(super) fn compute(cpu: &mut Worker, weights: &[Arc<Weight>], op: &Op, values: Values) {
    let ([a, b, ..], width, vector, out) = (values.inputs, values.words, cpu.vector, values.out());
    match op {
        Op::ExpertLinear { weight } => expert_linear(cpu, weights[weight.index()].tiles(), a, as_indices(b.x), out),
        Op::ExpertBias { bias } => {
            let (bias, ids) = (weights[bias.index()].values(), as_indices(b.x));
            let width = width / b.width;
            each_row(cpu.pool, out, width, |slot, x| {
                vector.run(Add { x, y: &bias[ids[slot] as usize * width..][..width] });
            });
        }
        Op::ExpertScale { scale } => {
            let (scale, ids) = (weights[scale.index()].values(), as_indices(b.x));
            let width = width / b.width;
            each_row(cpu.pool, out, width, |slot, x| vector.run(Scale { x, by: scale[ids[slot] as usize] }));
        }
        Op::ExpertSum => each_row(cpu.pool, out, width, |i, out| {
            let (slots, weights) = (&a.x[i * a.width..][..a.width], &b.x[i * b.width..][..b.width]);
            expert_sum(vector, slots, weights, out);
        }),
        _ => unreachable!("not an expert's"),
    }
}

/// Slot j of a row of out = x · weight\[ids\[j\]\]ᵀ; x has a row for each slot or for each `share` of them.
fn expert_linear(cpu: &mut Worker, tiles: &Tiles, input: Input, ids: &[u32], out: &mut [f32]) {
    let Worker { pool, vector, kernel, scratch, activations, grouping, .. } = cpu;
    let kernel = *kernel;
    grouping.group(ids, tiles.shape.outer);
    let (grouping, out, rows) = (&**grouping, Shared::new(out), input.rows.max(1));
    // If x is as wide as the weight, all slots of a row read the same.
    let share = if input.width == tiles.shape.cols { ids.len() / rows } else { 1 };
    let x = rounded((pool, *vector), tiles, input, activations);
    let cut = Cut::new(tiles.count() * grouping.active.len(), 1, pool.threads(), kernel);
    let across = cut.across(tiles.count());
    pool.run_with(scratch, across * grouping.active.len(), &|scratch, task| {
        let matrix = grouping.active[task / across] as usize;
        let slots = Slots::Some(grouping.slots(matrix));
        let product = Product { tiles, matrix, x, width: input.width, slots, share, inner: kernel.inner };
        product.write(*vector, &mut scratch.product, &cut.tiles(task % across, tiles.count()), out);
    });
}

/// Head h of a row of out = head h of the row of x · weight\[h\]ᵀ.
pub(super) fn head_linear(cpu: &mut Worker, tiles: &Tiles, input: Input, out: &mut [f32]) {
    let Worker { pool, vector, kernel, scratch, activations, .. } = cpu;
    let kernel = *kernel;
    let (heads, rows, out) = (tiles.shape.outer, input.rows, Shared::new(out));
    let x = rounded((pool, *vector), tiles, input, activations);
    let cut = Cut::new(tiles.count() * heads, 1, pool.threads(), kernel);
    let across = cut.across(tiles.count());
    pool.run_with(scratch, across * heads, &|scratch, task| {
        let matrix = task / across;
        let slots = Slots::Every { first: matrix, step: heads, count: rows };
        let product = Product { tiles, matrix, x, width: input.width, slots, share: 1, inner: kernel.inner };
        product.write(*vector, &mut scratch.product, &cut.tiles(task % across, tiles.count()), out);
    });
}

/// −∞ for experts of all groups but the best, in each row of scores. A group that goes is worse than all that stay, so the merits of
/// the rest are found as if it were still there.
fn keep_groups(Groups { count, used, best }: Groups, experts: usize, scores: &mut [f32]) {
    let each = experts / count;
    let place = |group: usize| group * each..(group + 1) * each;
    for scores in scores.chunks_exact_mut(experts) {
        for group in 0..count {
            let own = merit(&scores[place(group)], best);
            let better = |&other: &usize| {
                let merit = merit(&scores[place(other)], best);
                merit > own || merit == own && other < group
            };
            if (0..count).filter(better).count() >= used {
                scores[place(group)].fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// The sum of the `best` largest, largest first.
fn merit(group: &[f32], best: usize) -> f32 {
    let (mut sum, mut last) = (0.0, None);
    for _ in 0..best {
        let after = |&i: &usize| last.is_none_or(|last| group[i] < group[last] || group[i] == group[last] && i > last);
        let next = (0..group.len()).filter(after).reduce(|a, b| if group[b] > group[a] { b } else { a });
        sum += next.map_or(f32::NEG_INFINITY, |next| group[next]);
        last = next.or(last);
    }
    sum
}

/// out ← each row of x between 0 and 1.
fn squash(by: Squash, x: &[f32], width: usize, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        match by {
            Squash::Sigmoid => out.iter_mut().zip(x).for_each(|(out, x)| *out = 1.0 / (1.0 + (-x).exp())),
            Squash::Softmax => {
                let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                out.iter_mut().zip(x).for_each(|(out, x)| *out = (x - max).exp());
                let total: f32 = out.iter().sum();
                out.iter_mut().for_each(|x| *x /= total);
            }
        }
    }
}

/// ids ← the k highest scores of each row, highest first; of equals the lower id.
fn top_k(scores: &[f32], experts: usize, k: usize, ids: &mut [u32]) {
    for (scores, ids) in scores.chunks_exact(experts).zip(ids.chunks_exact_mut(k)) {
        for j in 0..k {
            let (chosen, rest) = ids.split_at_mut(j);
            let free = (0..index(experts)).filter(|id| !chosen.contains(id));
            let best = free.reduce(|a, b| if scores[b as usize] > scores[a as usize] { b } else { a });
            rest[0] = best.expect("k is at most the number of experts");
        }
    }
}

/// out ← the weight of each chosen expert.
fn gate_weights(scoring: GateScoring, scores: &[f32], (experts, k): (usize, usize), ids: &[u32], out: &mut [f32]) {
    for ((scores, ids), out) in scores.chunks_exact(experts).zip(ids.chunks_exact(k)).zip(out.chunks_exact_mut(k)) {
        for (out, &id) in out.iter_mut().zip(ids) {
            *out = scores[id as usize];
        }
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if matches!(scoring, GateScoring::SoftmaxChosen | GateScoring::SoftmaxAll) {
            out.iter_mut().for_each(|x| *x = (*x - max).exp());
        }
        let total: f32 = match scoring {
            GateScoring::Kept => continue,
            GateScoring::Shared => out.iter().sum::<f32>().max(f32::MIN_POSITIVE),
            GateScoring::SoftmaxChosen => out.iter().sum(),
            GateScoring::SoftmaxAll => scores.iter().map(|x| (x - max).exp()).sum(),
        };
        out.iter_mut().for_each(|x| *x /= total);
    }
}

/// One row of out ← the weighted sum of its slots, in slot order.
fn expert_sum(vector: Vector, slots: &[f32], weights: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (y, &by) in slots.chunks_exact(out.len()).zip(weights) {
        vector.run(AddScaled { x: out, y, by });
    }
}
