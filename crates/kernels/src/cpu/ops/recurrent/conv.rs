//! Causal convolution: each channel along its sequence, a vector of neighbouring channels at a time.

use graph::{Batch, Span};

use super::{States, padded};
use crate::cpu::memory::Shared;
use crate::cpu::ops::Worker;
use crate::cpu::simd::{Kernel, LANES, Simd};

/// Channels in one task, at most: some neighbouring cache lines of each row.
const CHANNELS: usize = 4 * LANES;
/// Taps that are gathered at a time.
const TAPS: usize = 8;

/// What all tasks of one convolution need.
#[derive(Clone, Copy)]
pub(in crate::cpu::ops) struct CausalConv<'a> {
    /// Rows of `channels` inputs.
    pub(in crate::cpu::ops) x: &'a [f32],
    /// A channel's taps, one channel after the other.
    pub(in crate::cpu::ops) taps: &'a [f32],
    pub(in crate::cpu::ops) channels: usize,
}

impl CausalConv<'_> {
    /// out ← the convolution of every channel. A task is some channels of one sequence.
    pub(in crate::cpu::ops) fn run(&self, cpu: &mut Worker, states: &mut States, batch: &Batch, out: &mut [f32]) {
        let (vector, len) = (cpu.vector, states.len);
        let (data, out, across) = (Shared::new(&mut states.data), Shared::new(out), self.channels.div_ceil(CHANNELS));
        cpu.pool.run(batch.spans.len() * across, &|_, task| {
            let (span, start) = (&batch.spans[task / across], task % across * CHANNELS);
            let state = span.state.expect("checked with the batch") as usize * len;
            for first in (start..self.channels.min(start + CHANNELS)).step_by(LANES) {
                let lanes = LANES.min(self.channels - first);
                vector.run(Lanes { all: self, span, first, lanes, state: (data, state), out });
            }
        });
    }

    fn width(&self) -> usize {
        self.taps.len() / self.channels
    }
}

/// Up to 16 channels of one sequence. No other task reads or writes them at the same time.
struct Lanes<'a> {
    all: &'a CausalConv<'a>,
    span: &'a Span,
    first: usize,
    lanes: usize,
    /// The layer's states, and where the sequence's begins.
    state: (Shared<'a, f32>, usize),
    out: Shared<'a, f32>,
}

impl Kernel for Lanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.all.width();
        if self.span.position == 0 {
            (0..width - 1).for_each(|i| self.last(i).fill(0.0));
        }
        for from in (0..width).step_by(TAPS) {
            let mut taps = [[0.0; LANES]; TAPS];
            let count = TAPS.min(width - from);
            for (lane, channel) in self.all.taps[self.first * width..].chunks(width).take(self.lanes).enumerate() {
                (0..count).for_each(|j| taps[j][lane] = channel[from + j]);
            }
            for i in 0..self.span.rows.len() {
                let place = (self.span.rows.start + i) * self.all.channels + self.first;
                // SAFETY: these channels of the sequence's rows are this kernel's own.
                #[allow(unsafe_code)]
                let out = unsafe { self.out.part(place, self.lanes) };
                let mut sum = if from == 0 { s.splat(0.0) } else { s.load(&padded(out)) };
                for (j, tap) in taps[..count].iter().enumerate() {
                    sum = s.mul_add(s.load(&padded(self.input(i, from + j))), s.load(tap), sum);
                }
                let mut lanes = [0.0; LANES];
                s.store(&mut lanes, sum);
                out.copy_from_slice(&lanes[..self.lanes]);
            }
        }
        self.remember();
    }
}

impl<'a> Lanes<'a> {
    /// The `i`th of the state's inputs.
    #[inline(always)]
    fn last(&self, i: usize) -> &'a mut [f32] {
        let (states, start) = self.state;
        // SAFETY: these channels of the sequence's state are this kernel's own, and it holds one input at a time.
        #[allow(unsafe_code)]
        unsafe {
            states.part(start + i * self.all.channels + self.first, self.lanes)
        }
    }

    /// The input that tap `j` is multiplied with for row `i` of the span.
    #[inline(always)]
    fn input(&self, i: usize, j: usize) -> &'a [f32] {
        match (i + j).checked_sub(self.all.width() - 1) {
            Some(row) => &self.all.x[(self.span.rows.start + row) * self.all.channels + self.first..][..self.lanes],
            None => self.last(i + j),
        }
    }

    /// Updates the state to the end of the span.
    #[inline(always)]
    fn remember(&self) {
        for i in 0..self.all.width() - 1 {
            // The taps of the row after the span read what the state must hold. Each input is read before its place is written.
            let mut input = [0.0; LANES];
            input[..self.lanes].copy_from_slice(self.input(self.span.rows.len(), i));
            self.last(i).copy_from_slice(&input[..self.lanes]);
        }
    }
}
