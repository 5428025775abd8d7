//! Recurrent layers: a state for each sequence, brought forward row by row.

use std::ops::Range;

use crate::{BackendError, Batch, Graph, Limits, Memory};

use super::{Matrix, zeros};

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
}
