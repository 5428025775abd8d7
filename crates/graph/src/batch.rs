//! The work of one step: ragged rows of several sequences, prefill and decode mixed, over a paged KV cache.

use std::ops::Range;

/// A run of consecutive tokens of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its rows in the batch.
    pub rows: Range<usize>,
    /// Position in its sequence of the first of them; all earlier positions are in the cache.
    pub position: usize,
    /// Its block table, as a range of [`Batch::blocks`]: entry i holds positions i · block_len ….
    pub table: Range<usize>,
}

/// The work of one step. Cleared and filled again, so that a step allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, a row each.
    pub tokens: Vec<u32>,
    /// The runs of rows, in row order, covering every row once.
    pub spans: Vec<Span>,
    /// Block tables of all spans, one after the other.
    pub blocks: Vec<u32>,
    /// Rows whose logits are wanted, ascending.
    pub outputs: Vec<u32>,
    /// Blocks (from, to) to copy in every layer before anything else: copy on write of shared blocks.
    pub copies: Vec<(u32, u32)>,
}

impl Batch {
    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.spans.clear();
        self.blocks.clear();
        self.outputs.clear();
        self.copies.clear();
    }

    /// Adds `tokens` of a sequence, the first at `position`, with its block table. Its rows are returned; mark those
    /// whose logits are wanted in [`Batch::outputs`].
    pub fn push(&mut self, tokens: &[u32], position: usize, table: impl IntoIterator<Item = u32>) -> Range<usize> {
        let rows = self.tokens.len()..self.tokens.len() + tokens.len();
        let first = self.blocks.len();
        self.tokens.extend_from_slice(tokens);
        self.blocks.extend(table);
        self.spans.push(Span { rows: rows.clone(), position, table: first..self.blocks.len() });
        rows
    }
}
