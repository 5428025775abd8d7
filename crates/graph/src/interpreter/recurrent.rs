//! Recurrent layers: a state for each sequence, brought forward row by row.

use std::ops::Range;

use crate::{BackendError, Batch, GatedDelta, Graph, Limits, Memory, Scan};

use super::{Matrix, dot, zeros};

/// The states of every recurrent layer.
#[derive(Debug)]
pub(super) struct States {
    /// By the index of the layer's memory: its numbers for each slot, one after the other; none for other layers.
    layers: Vec<(usize, Vec<f32>)>,
}

impl States {
    pub(super) fn new(graph: &Graph, limits: &Limits) -> Result<States, BackendError> {
        let layer = |memory: &Memory| {
            let len = if let Memory::Recurrent { len } = memory { *len } else { 0 };
            Ok((len, zeros(len.checked_mul(limits.state_slots), "recurrent states")?))
        };
        Ok(States { layers: graph.memory().iter().map(layer).collect::<Result<_, BackendError>>()? })
    }

    /// Copies whole states, in order.
    pub(super) fn copy(&mut self, copies: &[(u32, u32)]) {
        for (len, words) in &mut self.layers {
            for &(from, to) in copies {
                let from = from as usize * *len;
                words.copy_within(from..from + *len, to as usize * *len);
            }
        }
    }

    /// The state in a slot, in each layer; `None` if there is no such slot.
    pub(super) fn slot(&self, slot: u32) -> impl Iterator<Item = Option<&[f32]>> {
        self.layers.iter().map(move |(len, words)| words.get(slot as usize * len..)?.get(..*len))
    }

    pub(super) fn slot_mut(&mut self, slot: u32) -> impl Iterator<Item = Option<&mut [f32]>> {
        self.layers.iter_mut().map(move |(len, words)| words.get_mut(slot as usize * *len..)?.get_mut(..*len))
    }

    /// Calls `row` with the state of each row's sequence and the row's number, in the order of the rows.
    fn each(&mut self, layer: usize, batch: &Batch, mut row: impl FnMut(&mut [f32], usize)) {
        let (len, words) = &mut self.layers[layer];
        for span in &batch.spans {
            let slot = span.state.expect("checked with the batch") as usize;
            let state = &mut words[slot * *len..][..*len];
            if span.position == 0 {
                state.fill(0.0);
            }
            Range::clone(&span.rows).for_each(|i| row(state, i));
        }
    }

    /// The convolution of each channel of x; `taps` are a channel's, one channel after the other.
    pub(super) fn causal_conv(&mut self, layer: usize, x: Matrix, taps: &[f32], batch: &Batch) -> Vec<f32> {
        let (channels, width) = (x.width, taps.len() / x.width);
        let mut out = vec![0.0; x.data.len()];
        self.each(layer, batch, |last, row| {
            let x = &x.data[row * channels..][..channels];
            let out = &mut out[row * channels..][..channels];
            for (c, (out, taps)) in out.iter_mut().zip(taps.chunks_exact(width)).enumerate() {
                let before = last[c..].iter().step_by(channels);
                *out = before.chain(&x[c..=c]).zip(taps).map(|(x, tap)| x * tap).sum();
            }
            last.copy_within(channels.., 0);
            last[(width - 2) * channels..].copy_from_slice(x);
        });
        out
    }

    pub(super) fn gated_delta(&mut self, op: &GatedDelta, values: [Matrix; 5], batch: &Batch) -> Vec<f32> {
        let (key_dim, value_dim) = (values[1].width / op.key_heads, values[2].width / op.heads);
        let mut out = vec![0.0; values[2].data.len()];
        self.each(op.layer, batch, |state, row| {
            let [q, k, v, decay, rate] = values.map(|x| &x.data[row * x.width..][..x.width]);
            let out = out[row * v.len()..].chunks_exact_mut(value_dim);
            for (head, (state, out)) in state.chunks_exact_mut(key_dim * value_dim).zip(out).enumerate() {
                let [q, k] = [q, k].map(|x| &x[op.key_head(head) * key_dim..][..key_dim]);
                let each = decay.len() / op.heads;
                let decay = |i: usize| decay[head * each + i % each].exp();
                state.iter_mut().enumerate().for_each(|(i, x)| *x *= decay(i / value_dim));
                for (c, out) in out.iter_mut().enumerate() {
                    let delta = rate[head] * (v[head * value_dim + c] - dot(k, &column(state, c, value_dim)));
                    state[c..].iter_mut().step_by(value_dim).zip(k).for_each(|(x, k)| *x += k * delta);
                    *out = dot(q, &column(state, c, value_dim));
                }
            }
        });
        out
    }

    pub(super) fn scan(&mut self, op: &Scan, values: [Matrix; 4], [a, d]: [&[f32]; 2], batch: &Batch) -> Vec<f32> {
        let (head_dim, state_dim) = (values[0].width / op.heads, values[1].width / op.groups);
        let mut out = vec![0.0; values[0].data.len()];
        self.each(op.layer, batch, |state, row| {
            let [x, b, c, step] = values.map(|x| &x.data[row * x.width..][..x.width]);
            let out = out[row * x.len()..].chunks_exact_mut(head_dim);
            for (head, (state, out)) in state.chunks_exact_mut(head_dim * state_dim).zip(out).enumerate() {
                let [b, c] = [b, c].map(|x| &x[head / (op.heads / op.groups) * state_dim..][..state_dim]);
                let decay = (a[head] * step[head]).exp();
                for (i, out) in out.iter_mut().enumerate() {
                    let x = x[head * head_dim + i];
                    let update = |(s, b): (&mut f32, &f32)| *s = *s * decay + b * (step[head] * x);
                    state[i..].iter_mut().step_by(head_dim).zip(b).for_each(update);
                    *out = dot(c, &column(state, i, head_dim)) + d[head] * x;
                }
            }
        });
        out
    }
}

/// A column of a matrix with rows of `width`.
fn column(matrix: &[f32], column: usize, width: usize) -> Vec<f32> {
    matrix[column..].iter().step_by(width).copied().collect()
}
