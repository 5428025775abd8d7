//! The KV cache and attention over it.

use std::ops::Range;

use crate::{Attention, BackendError, Batch, Graph, KvShape, KvType, Limits, Memory, Span};

use super::{dot, rowwise, zeros};

/// Keys and values of every layer that has them.
#[derive(Debug)]
pub(super) struct Cache {
    /// By the index of the layer's memory.
    layers: Vec<Option<Layer>>,
    block_len: usize,
    kv_type: KvType,
}

/// `[kv_blocks, block_len, 2, heads, head_dim]`; the 2 are K and V.
#[derive(Debug)]
struct Layer {
    shape: KvShape,
    words: Vec<f32>,
}

impl Cache {
    pub(super) fn new(graph: &Graph, limits: &Limits) -> Result<Cache, BackendError> {
        let layer = |memory: &Memory| {
            let &Memory::Kv(shape) = memory else { return Ok(None) };
            let slots = limits.kv_blocks.checked_mul(limits.block_len);
            let words = slots.and_then(|n| n.checked_mul(2)).and_then(|n| n.checked_mul(shape.width()));
            Ok(Some(Layer { shape, words: zeros(words, "the KV cache")? }))
        };
        let layers = graph.memory().iter().map(layer).collect::<Result<_, BackendError>>()?;
        Ok(Cache { layers, block_len: limits.block_len, kv_type: limits.kv_type })
    }

    /// Copies whole blocks, in order.
    pub(super) fn copy(&mut self, copies: &[(u32, u32)]) {
        for layer in self.layers.iter_mut().flatten() {
            let len = self.block_len * 2 * layer.shape.width();
            for &(from, to) in copies {
                let from = from as usize * len;
                layer.words.copy_within(from..from + len, to as usize * len);
            }
        }
    }

    /// What a block holds in each layer; `None` if there is no such block.
    pub(super) fn block(&self, block: u32) -> impl Iterator<Item = Option<&[f32]>> {
        self.layers.iter().flatten().map(move |layer| {
            let len = self.block_len * 2 * layer.shape.width();
            layer.words.get(block as usize * len..)?.get(..len)
        })
    }

    pub(super) fn block_mut(&mut self, block: u32) -> impl Iterator<Item = Option<&mut [f32]>> {
        let block_len = self.block_len;
        self.layers.iter_mut().flatten().map(move |layer| {
            let len = block_len * 2 * layer.shape.width();
            layer.words.get_mut(block as usize * len..)?.get_mut(..len)
        })
    }

    pub(super) fn write(&mut self, layer: usize, batch: &Batch, k: &[f32], v: &[f32]) {
        let (block_len, kv_type) = (self.block_len, self.kv_type);
        let Layer { shape, words } = self.layers[layer].as_mut().expect(CHECKED);
        let width = shape.width();
        for span in &batch.spans {
            for (i, row) in span.rows.clone().enumerate() {
                let at = slot(batch, span, span.position + i, block_len) * 2 * width;
                for (x, at) in [(k, at), (v, at + width)] {
                    let heads = x[row * width..][..width].chunks_exact(shape.head_dim);
                    let stored = heads.flat_map(|head| stored(kv_type, head)).collect::<Vec<_>>();
                    words[at..at + width].copy_from_slice(&stored);
                }
            }
        }
    }

    fn layer(&self, layer: usize) -> &Layer {
        self.layers[layer].as_ref().expect(CHECKED)
    }

    /// All parts of attention, one after the other.
    pub(super) fn attend(&self, op: &Attention, q: &[f32], sinks: Option<&[f32]>, batch: &Batch) -> Vec<f32> {
        let &Attention { layer, heads, scale, window, causal, softcap, .. } = op;
        let of = Ragged { batch, heads, causal };
        let scores = self.scores(layer, scale, q, &of);
        let scores = softcap.map(|cap| rowwise::soft_cap(cap, &scores)).unwrap_or(scores);
        self.weigh(layer, &softmax_weights(window, sinks, &scores, &of), &of)
    }

    /// Queries times keys: row after row, head after head, a score for each position.
    pub(super) fn scores(&self, layer: usize, scale: f32, q: &[f32], of: &Ragged) -> Vec<f32> {
        let q = q.chunks_exact(self.layer(layer).shape.head_dim);
        let head = |(q, (head, slots)): (&[f32], (usize, Vec<usize>))| {
            let score = |slot: usize| dot(q, self.read(layer, 0, slot, (head, of.heads))) * scale;
            slots.into_iter().map(score).collect::<Vec<_>>()
        };
        q.zip(self.heads(of)).flat_map(head).collect()
    }

    /// Softmax weights times values.
    pub(super) fn weigh(&self, layer: usize, weights: &[f32], of: &Ragged) -> Vec<f32> {
        let head = |(weights, (head, slots)): (&[f32], (usize, Vec<usize>))| {
            let mut out = vec![0.0; self.layer(layer).shape.head_dim];
            for (&slot, weight) in slots.iter().zip(weights).skip_while(|(_, weight)| **weight == 0.0) {
                for (out, v) in out.iter_mut().zip(self.read(layer, 1, slot, (head, of.heads))) {
                    *out += weight * v;
                }
            }
            out
        };
        of.rows(weights).zip(self.heads(of)).flat_map(head).collect()
    }

    /// Every head of every row, and the cache's slots of the positions that it has scores for.
    fn heads(&self, of: &Ragged) -> impl Iterator<Item = (usize, Vec<usize>)> {
        let slots = move |(span, end): (&Span, usize)| {
            (0..end).map(|position| slot(of.batch, span, position, self.block_len)).collect::<Vec<_>>()
        };
        of.ends().flat_map(move |row| (0..of.heads).map(move |head| (head, slots(row))))
    }

    /// From a slot on, what a query head reads: its key (kind 0) or value (kind 1).
    fn read(&self, layer: usize, kind: usize, slot: usize, (head, heads): (usize, usize)) -> &[f32] {
        let Layer { shape, words } = self.layer(layer);
        &words[((slot * 2 + kind) * shape.heads + head / (heads / shape.heads)) * shape.head_dim..]
    }
}

/// The graph is built so that what reads keys and values names a layer that has them.
const CHECKED: &str = "a layer with keys and values";

/// A head's numbers as the cache keeps them.
fn stored(kv_type: KvType, head: &[f32]) -> Vec<f32> {
    let (dtype, len) = (kv_type.dtype(), head.len().next_multiple_of(kv_type.dtype().layout().block_len));
    let mut numbers: Vec<f32> = head.iter().copied().chain(std::iter::repeat(0.0)).take(len).collect();
    let mut bytes = vec![0; dtype.row_bytes(len).expect("whole blocks")];
    tensor::encode(dtype, &numbers, &mut bytes).expect("a type that can be encoded");
    tensor::decode(dtype, &bytes, &mut numbers).expect("whole blocks");
    numbers.truncate(head.len());
    numbers
}

/// The layout of numbers by position: row after row, head after head, one for each position up to the row's own, or of its whole
/// sequence where it is not causal.
pub(super) struct Ragged<'a> {
    pub(super) batch: &'a Batch,
    pub(super) heads: usize,
    pub(super) causal: bool,
}

impl Ragged<'_> {
    /// The span and the number of positions of every row.
    fn ends(&self) -> impl Iterator<Item = (&Span, usize)> {
        self.batch.spans.iter().flat_map(|span| {
            let seen = |n| if self.causal { n } else { span.rows.len() };
            (1..=span.rows.len()).map(move |n| (span, span.position + seen(n)))
        })
    }

    /// The positions of the scores of each head of each row that a window shows.
    fn windows(&self, window: Option<usize>) -> impl Iterator<Item = Range<usize>> {
        let window = window.unwrap_or(usize::MAX);
        self.ends().zip(self.batch.positions()).flat_map(move |((_, end), position)| {
            let seen = (position + 1).saturating_sub(window)..end.min(position.saturating_add(window));
            std::iter::repeat_n(seen, self.heads)
        })
    }

    /// The numbers of each head of each row.
    fn rows<'x>(&self, mut x: &'x [f32]) -> impl Iterator<Item = &'x [f32]> {
        let lengths = self.ends().flat_map(|(_, end)| std::iter::repeat_n(end, self.heads));
        lengths.map(move |len| {
            let head;
            (head, x) = x.split_at(len);
            head
        })
    }
}

/// Scores to softmax weights, within the window.
pub(super) fn softmax_weights(window: Option<usize>, sinks: Option<&[f32]>, scores: &[f32], of: &Ragged) -> Vec<f32> {
    let head = |(head, (scores, seen)): (usize, (&[f32], Range<usize>))| {
        let sink = sinks.map(|sinks| sinks[head % of.heads]);
        let mut weights: Vec<f32> = scores[seen.clone()].iter().copied().chain(sink).collect();
        softmax(&mut weights);
        let mut all = vec![0.0; scores.len()];
        all[seen.clone()].copy_from_slice(&weights[..seen.len()]);
        all
    };
    of.rows(scores).zip(of.windows(window)).enumerate().flat_map(head).collect()
}

/// Scores to softmax weights.
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
