//! The work of one step: ragged rows of several sequences, prefill and decode mixed, over a paged KV cache and slots of state.

use std::ops::Range;

use crate::{Adapted, Adapter, BackendError, Graph, Limits};

/// A run of consecutive tokens of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its rows in the batch.
    pub rows: Range<usize>,
    /// Position in its sequence of the first of them; all earlier positions are in the cache and in the state.
    pub position: usize,
    /// Its block table, as a range of [`Batch::blocks`]: entry i holds positions i · block_len ….
    pub table: Range<usize>,
    /// The slot of its recurrent state. At position 0 the sequence is new: its state is zeros, whatever the slot holds.
    pub state: Option<u32>,
}

/// The work of one step. Cleared and filled again, so that a step allocates nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Token ids, a row each.
    pub tokens: Vec<u32>,
    /// The type of each row's token, for models that have types; empty if all are 0.
    pub types: Vec<u32>,
    /// The runs of rows, in row order, covering every row once.
    pub spans: Vec<Span>,
    /// Block tables of all spans, one after the other.
    pub blocks: Vec<u32>,
    /// Rows whose output is wanted, ascending.
    pub outputs: Vec<u32>,
    /// Blocks (from, to) to copy in every layer, in this order, before anything else: copy on write of shared blocks.
    pub copies: Vec<(u32, u32)>,
    /// Slots (from, to) whose states are copied in every layer, likewise: a sequence that forks.
    pub state_copies: Vec<(u32, u32)>,
    /// What an [`Op::Input`](crate::Op::Input) gives: its rows, one after the other. Empty for whole models.
    pub inputs: Vec<f32>,
    /// Rows with an adapter, ascending; the others have none. Only for devices that adapt ([`crate::Device::adapts`]).
    pub adapters: Vec<Adapted>,
    /// Of each output row, how many of its greatest numbers are wanted in place of all (0: all); empty if all are wanted of every row.
    /// Only for devices that can take so many ([`crate::Device::top`]). [`crate::Outputs`] reads what they give.
    pub top: Vec<u32>,
}

impl Batch {
    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.types.clear();
        self.spans.clear();
        self.blocks.clear();
        self.outputs.clear();
        self.copies.clear();
        self.state_copies.clear();
        self.inputs.clear();
        self.adapters.clear();
        self.top.clear();
    }

    /// Adds `tokens` of a sequence without recurrent state, the first at `position`, with its block table. Its rows are returned;
    /// mark those whose output is wanted in [`Batch::outputs`].
    pub fn push(&mut self, tokens: &[u32], position: usize, table: impl IntoIterator<Item = u32>) -> Range<usize> {
        self.push_with_state(tokens, position, table, None)
    }

    /// As [`Batch::push`], for a sequence whose recurrent state is in the slot `state`.
    pub fn push_with_state(
        &mut self,
        tokens: &[u32],
        position: usize,
        table: impl IntoIterator<Item = u32>,
        state: Option<u32>,
    ) -> Range<usize> {
        let rows = self.tokens.len()..self.tokens.len() + tokens.len();
        let first = self.blocks.len();
        self.tokens.extend_from_slice(tokens);
        self.blocks.extend(table);
        self.spans.push(Span { rows: rows.clone(), position, table: first..self.blocks.len(), state });
        rows
    }

    /// Checks that a program of `graph` with `limits` can run it; every backend calls this first, and may rely on it.
    ///
    /// # Errors
    /// [`BackendError::Batch`] if it is over a limit, a token, type, position, block or slot does not exist, the spans do not cover the rows in
    /// order, a block table is too short for its span's positions, a span of a graph with recurrent layers has no slot, two
    /// spans have the same, the outputs are not ascending rows, more numbers of one are wanted than it has, or an adapter is of another graph.
    pub fn check(&self, limits: &Limits, graph: &Graph) -> Result<(), BackendError> {
        let checked = self.check_rows(limits, graph).and_then(|()| self.check_spans(limits, graph.positions()));
        let checked = checked.and_then(|()| self.check_blocks(limits)).and_then(|()| self.check_states(limits, graph));
        let checked =
            checked.and_then(|()| self.check_top(graph.output_width())).and_then(|()| self.check_adapters(graph));
        checked.map_err(BackendError::Batch)
    }

    fn check_rows(&self, limits: &Limits, graph: &Graph) -> Result<(), String> {
        let (rows, outputs) = (self.tokens.len(), self.outputs.len());
        require(rows <= limits.max_tokens, || format!("{rows} rows, the limit is {}", limits.max_tokens))?;
        require(outputs <= limits.max_outputs, || format!("{outputs} outputs, the limit is {}", limits.max_outputs))?;
        let vocab = graph.tokens();
        let unknown = self.tokens.iter().find(|&&token| token as usize >= vocab);
        require(unknown.is_none(), || format!("token {} of a vocabulary of {vocab}", unknown.unwrap_or(&0)))?;
        self.check_types(graph.types())?;
        let (inputs, wanted) = (self.inputs.len(), rows * graph.input_width());
        require(inputs == wanted, || format!("{inputs} numbers are given for {rows} rows, the graph takes {wanted}"))?;
        require(self.outputs.is_sorted_by(|a, b| a < b), || "outputs are not ascending".into())?;
        let last = self.outputs.last();
        require(last.is_none_or(|&row| (row as usize) < rows), || format!("output past the last of {rows} rows"))
    }

    fn check_types(&self, types: usize) -> Result<(), String> {
        let (rows, given) = (self.tokens.len(), self.types.len());
        require(given == 0 || given == rows, || format!("{given} token types for {rows} rows"))?;
        let unknown = self.types.iter().find(|&&kind| kind as usize >= types);
        require(unknown.is_none(), || format!("token type {} of {types}", unknown.unwrap_or(&0)))
    }

    fn check_top(&self, width: usize) -> Result<(), String> {
        let (rows, outputs) = (self.top.len(), self.outputs.len());
        require(rows == 0 || rows == outputs, || {
            format!("the greatest of {rows} rows are wanted of {outputs} outputs")
        })?;
        let most = self.top.iter().copied().max().unwrap_or(0) as usize;
        require(most <= width, || format!("the {most} greatest of {width} numbers are wanted"))
    }

    fn check_adapters(&self, graph: &Graph) -> Result<(), String> {
        let mut next = 0;
        for Adapted { rows, adapter } in &self.adapters {
            require(rows.start >= next && rows.end > rows.start && rows.end <= self.tokens.len(), || {
                format!(
                    "an adapter for rows {rows:?} does not follow row {next}, or ends after row {}",
                    self.tokens.len()
                )
            })?;
            require(adapter.fits(graph), || "an adapter is of another model".into())?;
            next = rows.end;
        }
        Ok(())
    }

    /// The adapter of a row of a value with `count` rows: one for each token, or for each output.
    pub fn adapter(&self, row: usize, count: usize) -> Option<&Adapter> {
        // If all rows are outputs they are the same ones.
        let row = if count == self.tokens.len() { row } else { self.outputs[row] as usize };
        let at = self.adapters.partition_point(|of| of.rows.end <= row);
        self.adapters.get(at).filter(|of| of.rows.start <= row).map(|of| &*of.adapter)
    }

    /// The type of a row's token.
    pub fn kind(&self, row: usize) -> u32 {
        self.types.get(row).copied().unwrap_or(0)
    }

    /// The position of each row in its sequence, in row order.
    pub fn positions(&self) -> impl Iterator<Item = usize> {
        self.spans.iter().flat_map(|span| (0..span.rows.len()).map(|i| span.position + i))
    }

    fn check_spans(&self, limits: &Limits, positions: usize) -> Result<(), String> {
        let mut next = 0;
        for Span { rows, position, table, .. } in &self.spans {
            require(rows.start == next && rows.end > rows.start, || {
                format!("span of rows {rows:?} does not go on from row {next}")
            })?;
            next = rows.end;
            require(table.start <= table.end && table.end <= self.blocks.len(), || {
                format!("block table {table:?} of {} blocks", self.blocks.len())
            })?;
            // A sequence's blocks are all different, so it has no more than the cache.
            let held = table.len().min(limits.kv_blocks).saturating_mul(limits.block_len);
            require(position.checked_add(rows.len()).is_some_and(|end| end <= held), || {
                format!("{} rows at position {position} do not fit the {held} positions of their blocks", rows.len())
            })?;
            require(position + rows.len() <= positions, || {
                format!("{} rows at position {position}, the model has {positions} positions", rows.len())
            })?;
        }
        require(next == self.tokens.len(), || format!("spans cover {next} of {} rows", self.tokens.len()))
    }

    fn check_blocks(&self, limits: &Limits) -> Result<(), String> {
        let copied = self.copies.iter().flat_map(|&(from, to)| [from, to]);
        let unknown = self.blocks.iter().copied().chain(copied).find(|&block| block as usize >= limits.kv_blocks);
        require(unknown.is_none(), || format!("block {} of {}", unknown.unwrap_or(0), limits.kv_blocks))
    }

    fn check_states(&self, limits: &Limits, graph: &Graph) -> Result<(), String> {
        let slots = || self.spans.iter().filter_map(|span| span.state);
        let copied = self.state_copies.iter().flat_map(|&(from, to)| [from, to]);
        let unknown = slots().chain(copied).find(|&slot| slot as usize >= limits.state_slots);
        require(unknown.is_none(), || format!("state slot {} of {}", unknown.unwrap_or(0), limits.state_slots))?;
        if graph.state_len() == 0 {
            return Ok(());
        }
        require(slots().count() == self.spans.len(), || {
            "a span has no state slot, and the model has recurrent layers".into()
        })?;
        // Few spans: looking at every pair takes no memory.
        let twice = slots().enumerate().find(|&(i, slot)| slots().take(i).any(|other| other == slot));
        require(twice.is_none(), || format!("state slot {} is in two spans", twice.unwrap_or_default().1))
    }
}

fn require(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}
