//! The online softmax of attention (Milakov and Gimelshein 2018): each split of the positions alone, then merged one by one.

use std::ops::Range;

use crate::cpu::memory::as_numbers;
use crate::cpu::simd::{Kernel, LANES, Line, Simd, exp, sum_lanes, tanh};

/// Lines of a state after its values: the sum of softmax weights, lane by lane, and the greatest score in every lane.
pub(super) const REST: usize = 2;

/// Makes `state` that of a row that has seen nothing but its sink, if it has one. A state is the weighted sum of values so far, then
/// [`REST`].
pub(super) fn start(state: &mut [Line], sink: Option<f32>) {
    state.fill(Line::default());
    if let [.., total, max] = state {
        *max = Line([sink.unwrap_or(f32::NEG_INFINITY); LANES]);
        total.0[0] = if sink.is_some() { 1.0 } else { 0.0 };
    }
}

/// One row's softmax over one split. The scores become weights, and their sum and maximum begin the row's state.
pub(super) struct Softmax<'a> {
    /// Scores by tiles of a block's positions. They become weights, which are 0 outside `seen`.
    pub(super) scores: &'a mut [Line],
    /// The tile of the split that `scores` begin with.
    pub(super) first: usize,
    /// Positions of a block.
    pub(super) block_len: usize,
    /// Positions of the split that the row sees; not empty.
    pub(super) seen: Range<usize>,
    pub(super) softcap: Option<f32>,
    /// Its values stay as they are.
    pub(super) state: &'a mut [Line],
}

/// Bounds for `min`: 16 of them from 16 - n on let the first n lanes pass.
const FIRST: [f32; 2 * LANES] = bounds(f32::INFINITY, f32::NEG_INFINITY);
/// As above; lets all but the first n lanes pass.
const LAST: [f32; 2 * LANES] = bounds(f32::NEG_INFINITY, f32::INFINITY);

const fn bounds(low: f32, high: f32) -> [f32; 2 * LANES] {
    let mut all = [high; 2 * LANES];
    let mut i = 0;
    while i < LANES {
        all[i] = low;
        i += 1;
    }
    all
}

#[inline(always)]
fn pass<S: Simd>(s: S, bounds: &[f32; 2 * LANES], n: usize) -> S::F {
    s.load(bounds[LANES - n.min(LANES)..].first_chunk().expect("16 of 32 from at most 16"))
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let tiles = self.block_len.div_ceil(LANES);
        let (mut block, mut tile) = (self.first / tiles, self.first % tiles);
        let mut max = s.splat(f32::NEG_INFINITY);
        for line in self.scores.iter_mut() {
            let mut x = s.load(&line.0);
            if let Some(cap) = self.softcap {
                x = s.mul(s.splat(cap), tanh(s, s.div(x, s.splat(cap))));
            }
            let position = block * self.block_len + tile * LANES;
            let end = self.seen.end.saturating_sub(position).min(self.block_len - tile * LANES);
            let start = self.seen.start.saturating_sub(position);
            if start > 0 || end < LANES {
                x = s.min(x, s.min(pass(s, &FIRST, end), pass(s, &LAST, start)));
            }
            max = s.max(x, max);
            s.store(&mut line.0, x);
            (block, tile) = if tile + 1 == tiles { (block + 1, 0) } else { (block, tile + 1) };
        }
        let max = s.splat(s.largest(max));
        let mut total = s.splat(0.0);
        for line in self.scores {
            let weight = exp(s, s.sub(s.load(&line.0), max));
            total = s.add(total, weight);
            s.store(&mut line.0, weight);
        }
        if let [.., to_total, to_max] = self.state {
            s.store(&mut to_total.0, total);
            s.store(&mut to_max.0, max);
        }
    }
}

/// Merges a split's state into that of the splits before it: both are scaled to the greater of their maxima.
pub(super) struct Merge<'a> {
    pub(super) state: &'a mut [Line],
    pub(super) split: &'a [Line],
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (Some((to_max, sums)), Some((split_max, split_sums))) =
            (self.state.split_last_mut(), self.split.split_last())
        else {
            return;
        };
        let (before, split) = (s.load(&to_max.0), s.load(&split_max.0));
        let max = s.max(split, before);
        let (shrink, by) = (exp(s, s.sub(before, max)), exp(s, s.sub(split, max)));
        for (sum, split) in sums.iter_mut().zip(split_sums) {
            let y = s.mul_add(s.load(&split.0), by, s.mul(s.load(&sum.0), shrink));
            s.store(&mut sum.0, y);
        }
        s.store(&mut to_max.0, max);
    }
}

/// Scales the weights of `split` to those of all that `state` has seen.
pub(super) struct Normalize<'a> {
    pub(super) weights: &'a mut [Line],
    /// [`REST`] of both.
    pub(super) split: &'a [Line; REST],
    pub(super) state: &'a [Line; REST],
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let ([_, split_max], [total, max]) = (self.split, self.state);
        let (by, total) =
            (exp(s, s.sub(s.load(&split_max.0), s.load(&max.0))), s.splat(sum_lanes(s, s.load(&total.0))));
        for line in self.weights {
            let weight = s.div(s.mul(s.load(&line.0), by), total);
            s.store(&mut line.0, weight);
        }
    }
}

/// out ← values / sum of weights.
pub(super) struct Finish<'a> {
    pub(super) state: &'a [Line],
    pub(super) out: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if let [values @ .., total, _] = self.state {
            let total = sum_lanes(s, s.load(&total.0));
            for (out, value) in self.out.iter_mut().zip(as_numbers(values)) {
                *out = value / total;
            }
        }
    }
}
