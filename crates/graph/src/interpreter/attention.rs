//! The KV cache and attention over it.

use crate::{Attention, BackendError, Batch, KvShape, Limits, Span};

use super::{dot, zeros};

/// Keys and values of every layer.
#[derive(Debug)]
pub(super) struct Cache {
    layers: Vec<Layer>,
    block_len: usize,
}

/// `[kv_blocks, block_len, 2, heads, head_dim]`; the 2 are K and V.
#[derive(Debug)]
struct Layer {
    shape: KvShape,
    words: Vec<f32>,
}

impl Cache {
    pub(super) fn new(shapes: &[KvShape], limits: &Limits) -> Result<Cache, BackendError> {
        let layer = |&shape: &KvShape| {
            let slots = limits.kv_blocks.checked_mul(limits.block_len);
            let words = slots.and_then(|n| n.checked_mul(2)).and_then(|n| n.checked_mul(shape.width()));
            Ok(Layer { shape, words: zeros(words, "the KV cache")? })
        };
        let layers = shapes.iter().map(layer).collect::<Result<_, BackendError>>()?;
        Ok(Cache { layers, block_len: limits.block_len })
    }

    /// Copies whole blocks, in order.
    pub(super) fn copy(&mut self, copies: &[(u32, u32)]) {
        for layer in &mut self.layers {
            let len = self.block_len * 2 * layer.shape.width();
            for &(from, to) in copies {
                let from = from as usize * len;
                layer.words.copy_within(from..from + len, to as usize * len);
            }
        }
    }

    pub(super) fn write(&mut self, layer: usize, batch: &Batch, k: &[f32], v: &[f32]) {
        let Layer { shape, words } = &mut self.layers[layer];
        let width = shape.width();
        for span in &batch.spans {
            for (i, row) in span.rows.clone().enumerate() {
                let at = slot(batch, span, span.position + i, self.block_len) * 2 * width;
                words[at..at + width].copy_from_slice(&k[row * width..][..width]);
                words[at + width..at + 2 * width].copy_from_slice(&v[row * width..][..width]);
            }
        }
    }

    pub(super) fn attend(&self, op: &Attention, q: &[f32], sinks: Option<&[f32]>, batch: &Batch) -> Vec<f32> {
        let head_dim = self.layers[op.layer].shape.head_dim;
        let mut out = Vec::with_capacity(q.len());
        for span in &batch.spans {
            for (i, row) in span.rows.clone().enumerate() {
                let end = span.position + i + 1;
                let start = op.window.map_or(0, |window| end.saturating_sub(window));
                let slots: Vec<usize> = (start..end).map(|p| slot(batch, span, p, self.block_len)).collect();
                for head in 0..op.heads {
                    let q = &q[(row * op.heads + head) * head_dim..][..head_dim];
                    out.extend(self.head(op, head, q, sinks.map(|s| s[head]), &slots));
                }
            }
        }
        out
    }

    /// One head of one row over the cache's slots that it sees.
    fn head(&self, op: &Attention, head: usize, q: &[f32], sink: Option<f32>, slots: &[usize]) -> Vec<f32> {
        let Layer { shape, words } = &self.layers[op.layer];
        let KvShape { heads, head_dim } = *shape;
        let at =
            |kind: usize, slot: usize| &words[((slot * 2 + kind) * heads + head / (op.heads / heads)) * head_dim..];
        let score = |&slot: &usize| {
            let score = dot(q, at(0, slot)) * op.scale;
            op.softcap.map_or(score, |cap| cap * (score / cap).tanh())
        };
        let mut shares: Vec<f32> = slots.iter().map(score).chain(sink).collect();
        softmax(&mut shares);
        let mut out = vec![0.0; head_dim];
        for (&slot, share) in slots.iter().zip(shares) {
            for (out, v) in out.iter_mut().zip(at(1, slot)) {
                *out += share * v;
            }
        }
        out
    }
}

/// Scores to shares.
pub(super) fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - max).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Where a position of the span's sequence is: block · block_len + offset.
fn slot(batch: &Batch, span: &Span, position: usize, block_len: usize) -> usize {
    let block = batch.blocks[span.table.start + position / block_len] as usize;
    block * block_len + position % block_len
}
