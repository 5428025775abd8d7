//! The online softmax of attention: scores of one row and head, block by block.

use std::ops::Range;

use crate::cpu::memory::as_numbers;
use crate::cpu::simd::{Kernel, LANES, Line, Simd, exp, sum_lanes, tanh};

/// One row's attention to the positions of one block: scores become shares, sums so far are brought to a new maximum.
pub(super) struct Softmax<'a> {
    /// Scores of the block's positions; becomes their shares, 0 outside `seen`.
    pub(super) scores: &'a mut [Line],
    /// Positions of the block that the row sees; not empty.
    pub(super) seen: Range<usize>,
    pub(super) softcap: Option<f32>,
    pub(super) state: &'a mut SoftmaxState,
    /// Values weighted so far.
    pub(super) values: &'a mut [Line],
}

/// The greatest score so far, and the sum of shares lane by lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct SoftmaxState {
    pub(super) max: f32,
    pub(super) total: [f32; LANES],
}

impl SoftmaxState {
    /// Nothing seen but, if there is one, the sink.
    pub(super) fn new(sink: Option<f32>) -> SoftmaxState {
        let mut total = [0.0; LANES];
        total[0] = if sink.is_some() { 1.0 } else { 0.0 };
        SoftmaxState { max: sink.unwrap_or(f32::NEG_INFINITY), total }
    }
}

/// Bounds for `min`: a window of 16 over it, moved back by n, lets the first n lanes pass.
const FIRST: [f32; 2 * LANES] = bounds(f32::INFINITY, f32::NEG_INFINITY);
/// As above; lets all but the first n lanes pass.
const REST: [f32; 2 * LANES] = bounds(f32::NEG_INFINITY, f32::INFINITY);

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
        let mut max = s.splat(self.state.max);
        for (i, line) in self.scores.iter_mut().enumerate() {
            let mut x = s.load(&line.0);
            if let Some(cap) = self.softcap {
                x = s.mul(s.splat(cap), tanh(s, s.div(x, s.splat(cap))));
            }
            let (start, end) = (self.seen.start.saturating_sub(i * LANES), self.seen.end.saturating_sub(i * LANES));
            x = s.min(x, s.min(pass(s, &FIRST, end), pass(s, &REST, start)));
            max = s.max(x, max);
            s.store(&mut line.0, x);
        }
        let mut lanes = [0.0; LANES];
        s.store(&mut lanes, max);
        let max = lanes.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        self.shares(s, max);
    }
}

impl Softmax<'_> {
    #[inline(always)]
    fn shares<S: Simd>(self, s: S, max: f32) {
        let (now, before) = (s.splat(max), s.splat(self.state.max));
        let mut total = s.load(&self.state.total);
        if max > self.state.max {
            let shrink = exp(s, s.sub(before, now));
            total = s.mul(total, shrink);
            for line in self.values.iter_mut() {
                let y = s.mul(s.load(&line.0), shrink);
                s.store(&mut line.0, y);
            }
        }
        for line in self.scores.iter_mut() {
            let share = exp(s, s.sub(s.load(&line.0), now));
            total = s.add(total, share);
            s.store(&mut line.0, share);
        }
        s.store(&mut self.state.total, total);
        self.state.max = max;
    }
}

/// out ← values / sum of shares.
pub(super) struct Finish<'a> {
    pub(super) values: &'a [Line],
    pub(super) state: &'a SoftmaxState,
    pub(super) out: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let total = sum_lanes(s, s.load(&self.state.total));
        let values = as_numbers(self.values);
        for (out, value) in self.out.iter_mut().zip(values) {
            *out = value / total;
        }
    }
}
