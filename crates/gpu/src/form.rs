//! What the commands of a step depend on, so that they can be encoded before its tokens are known.

use graph::{Batch, Limits};

use crate::batch;
use crate::call::Counts;

/// What the commands of a step depend on: all batches of one form have the same. Tokens, positions, block tables and angles are none of
/// it; they are words of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) counts: Counts,
    /// [`Batch::top`].
    pub(crate) top: Vec<u32>,
}

impl Form {
    /// The form that the next batch has if every sequence goes on with a token of its own, as decoding ones do; `None` if none is sampled.
    pub(crate) fn next(batch: &Batch, limits: &Limits, counts: &Counts) -> Option<Form> {
        let is_sampled = |row: &u32| batch.outputs.binary_search(row).is_ok();
        let sampled = batch.positions().zip(0..).filter(|(_, row)| is_sampled(row));
        let positions: Vec<usize> = sampled.map(|(position, _)| position + 1).collect();
        let (rows, last) = (positions.len() as u32, positions.iter().max()?);
        let (longest, parts) = (*last as u32 + 1, batch::parts(positions.iter().copied(), limits));
        let Counts { top, most, .. } = *counts;
        let counts = Counts { rows, outputs: rows, spans: rows, longest, copies: 0, state_copies: 0, parts, top, most };
        Some(Form { counts, top: batch.top.clone() })
    }
}
