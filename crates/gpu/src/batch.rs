//! The words of a batch, as kernels read them: a header, then lists.

use graph::{Batch, Limits, Rope, Span};

use crate::call::Counts;
use crate::scratch::{self, UNIT};

/// Words of the header before those of the tables of angles. `common.wgsl` names them.
const HEADER: usize = 17;

/// Fills `words` with a batch; gives its sizes.
pub(crate) fn fill(words: &mut Vec<u32>, batch: &Batch, limits: &Limits, ropes: &[Rope]) -> Counts {
    let ends = batch.spans.iter().map(|span| span.position + span.rows.len());
    let counts = Counts {
        rows: batch.tokens.len() as u32,
        outputs: batch.outputs.len() as u32,
        spans: batch.spans.len() as u32,
        longest: ends.max().unwrap_or(0) as u32,
        copies: batch.copies.len() as u32,
        state_copies: batch.state_copies.len() as u32,
        parts: parts(batch.positions(), limits),
        top: batch.top.iter().filter(|&&top| top > 0).count() as u32,
        most: batch.top.iter().copied().max().unwrap_or(0),
    };
    let Counts { rows, outputs, spans, copies, state_copies, .. } = counts;
    words.clear();
    words.extend([rows, outputs, spans, copies, state_copies]);
    words.resize(HEADER + ropes.len(), 0);
    words[15] = counts.most;
    let mut list = |word: usize, add: &mut dyn FnMut(&mut Vec<u32>)| {
        words[word] = words.len() as u32;
        add(words);
    };
    list(5, &mut |words| words.extend(&batch.tokens));
    list(6, &mut |words| batch.spans.iter().for_each(|span| words.extend(positions(span).map(|at| at as u32))));
    list(7, &mut |words| tables(words, batch, limits));
    list(8, &mut |words| words.extend(&batch.outputs));
    list(9, &mut |words| blocks(words, batch, limits));
    list(10, &mut |words| words.extend(batch.copies.iter().flat_map(|&(from, to)| [from, to])));
    list(11, &mut |words| words.extend(batch.state_copies.iter().flat_map(|&(from, to)| [from, to])));
    list(12, &mut |words| words.extend(batch.spans.iter().flat_map(span)));
    if counts.parts > 0 {
        list(13, &mut |words| words.extend(batch.positions().zip(0..).flat_map(units)));
        list(14, &mut |words| words.extend(first_parts(batch)));
    }
    list(16, &mut |words| words.extend(batch.top.iter().zip(0..).filter(|(top, _)| **top > 0).map(|(_, row)| row)));
    for (i, rope) in ropes.iter().enumerate() {
        list(HEADER + i, &mut |words| angles(words, batch, rope));
    }
    counts
}

/// Words that a batch within the limits has, if no block is in more than one table.
pub(crate) fn usual_words(limits: &Limits, ropes: &[Rope]) -> usize {
    let angles = ropes.iter().map(|rope| 2 * rope.freqs.len()).sum::<usize>();
    let row = 8 + angles;
    let copied = 3 * limits.kv_blocks + 2 * limits.state_slots;
    HEADER + ropes.len() + limits.max_tokens * row + 2 * limits.max_outputs + copied + 2 * scratch::parts(limits)
}

/// Parts that attention of rows at these positions is split into: 0 if it is not, since there is nothing to split or there are too many.
pub(crate) fn parts(positions: impl Iterator<Item = usize>, limits: &Limits) -> u32 {
    let (rows, parts) = positions.fold((0, 0), |(rows, parts), at| (rows + 1, parts + at / UNIT + 1));
    if parts == rows || parts > scratch::parts(limits) { 0 } else { parts as u32 }
}

/// The units of a row at this position, with the row.
fn units((position, row): (usize, u32)) -> impl Iterator<Item = u32> {
    (0..=(position / UNIT) as u32).flat_map(move |unit| [row, unit])
}

/// Where each row's parts begin.
fn first_parts(batch: &Batch) -> impl Iterator<Item = u32> {
    batch.positions().scan(0, |next, position| {
        let first = *next;
        *next += (position / UNIT + 1) as u32;
        Some(first)
    })
}

fn positions(span: &Span) -> std::ops::Range<usize> {
    span.position..span.position + span.rows.len()
}

/// The blocks that a span reads.
fn table<'b>(batch: &'b Batch, span: &Span, limits: &Limits) -> &'b [u32] {
    &batch.blocks[span.table.start..][..positions(span).end.div_ceil(limits.block_len)]
}

/// For each row, where its sequence's blocks begin.
fn tables(words: &mut Vec<u32>, batch: &Batch, limits: &Limits) {
    let mut start = 0;
    for span in &batch.spans {
        words.extend(span.rows.clone().map(|_| start));
        start += table(batch, span, limits).len() as u32;
    }
}

fn blocks(words: &mut Vec<u32>, batch: &Batch, limits: &Limits) {
    batch.spans.iter().for_each(|span| words.extend(table(batch, span, limits)));
}

fn span(span: &Span) -> [u32; 4] {
    [span.rows.start as u32, span.rows.len() as u32, span.position as u32, span.state.unwrap_or(0)]
}

/// Cosines and sines of every row, computed here: a device's own are not exact for large angles.
fn angles(words: &mut Vec<u32>, batch: &Batch, rope: &Rope) {
    for position in batch.spans.iter().flat_map(positions) {
        for freq in rope.freqs.iter() {
            let (sin, cos) = (position as f32 * freq).sin_cos();
            words.extend([cos * rope.magnitude, sin * rope.magnitude].map(f32::to_bits));
        }
    }
}
