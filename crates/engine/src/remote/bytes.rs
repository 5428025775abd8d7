//! Batches, limits and logits as bytes.

use std::borrow::Cow;
use std::ops::Range;

use graph::{Batch, Span};

use super::{Header, MAGIC};
use crate::ExecutorLimits;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) String);

fn short(what: &str) -> Malformed {
    Malformed(format!("the bytes end before {what}"))
}

/// Writes numbers behind each other.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn header(&mut self, Header { what, epoch, number }: Header) {
        self.0.clear();
        self.number(MAGIC);
        self.number(what);
        self.long(epoch);
        self.long(number);
    }

    pub(super) fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn long(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// How many there are, and then each.
    pub(super) fn numbers(&mut self, numbers: &[u32]) {
        self.number(numbers.len() as u32);
        numbers.iter().for_each(|number| self.number(*number));
    }

    fn pairs(&mut self, pairs: &[(u32, u32)]) {
        self.number(pairs.len() as u32);
        pairs.iter().for_each(|(from, to)| {
            self.number(*from);
            self.number(*to);
        });
    }

    /// Bounds of a batch fit 32 bits: they count its rows, its blocks and the positions of a sequence.
    pub(super) fn batch(&mut self, batch: &Batch) {
        self.numbers(&batch.tokens);
        self.number(batch.spans.len() as u32);
        for Span { rows, position, table, state } in &batch.spans {
            [rows.start, rows.end, *position, table.start, table.end]
                .iter()
                .for_each(|bound| self.number(*bound as u32));
            self.number(state.map_or(u32::MAX, |slot| slot));
        }
        self.numbers(&batch.blocks);
        self.numbers(&batch.outputs);
        self.pairs(&batch.copies);
        self.pairs(&batch.state_copies);
    }

    pub(super) fn limits(&mut self, limits: &ExecutorLimits, fingerprint: [u8; 32]) {
        let ExecutorLimits { max_tokens, max_outputs, kv_blocks, block_len, state_slots, vocab } = *limits;
        let all = [max_tokens, max_outputs, kv_blocks, block_len, state_slots, vocab];
        all.iter().for_each(|limit| self.long(*limit as u64));
        self.0.extend_from_slice(&fingerprint);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Numbers as bytes in little-endian order, without a copy where this machine has them so.
pub(super) fn bytes_of(floats: &[f32]) -> Cow<'_, [u8]> {
    match cfg!(target_endian = "little") {
        true => Cow::Borrowed(bytemuck::cast_slice(floats)),
        false => floats.iter().flat_map(|float| float.to_le_bytes()).collect(),
    }
}

/// Reads what a [`Writer`] has written.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn header(&mut self) -> Result<Header, Malformed> {
        let magic = self.number("its first four bytes")?;
        if magic != MAGIC {
            return Err(Malformed("these are no bytes of a batch, or of another version of whinchat".to_owned()));
        }
        Ok(Header { what: self.number("a kind")?, epoch: self.long("an epoch")?, number: self.long("a number")? })
    }

    pub(super) fn number(&mut self, what: &str) -> Result<u32, Malformed> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    pub(super) fn long(&mut self, what: &str) -> Result<u64, Malformed> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.0.split_first_chunk().ok_or_else(|| short(what))?;
        self.0 = rest;
        Ok(*first)
    }

    /// So many things as are announced; no memory is taken for those that are not there.
    fn several<T>(
        &mut self,
        (what, size): (&str, usize),
        mut one: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.number(what)? as usize;
        if self.0.len() / size < count {
            return Err(short(what));
        }
        (0..count).map(|_| one(self)).collect()
    }

    pub(super) fn numbers(&mut self, what: &str) -> Result<Vec<u32>, Malformed> {
        self.several((what, 4), |reader| reader.number(what))
    }

    fn pairs(&mut self, what: &str) -> Result<Vec<(u32, u32)>, Malformed> {
        self.several((what, 8), |reader| Ok((reader.number(what)?, reader.number(what)?)))
    }

    fn range(&mut self, what: &str) -> Result<Range<usize>, Malformed> {
        Ok(self.number(what)? as usize..self.number(what)? as usize)
    }

    fn span(&mut self) -> Result<Span, Malformed> {
        Ok(Span {
            rows: self.range("the rows of a span")?,
            position: self.number("the position of a span")? as usize,
            table: self.range("the table of a span")?,
            state: Some(self.number("the state of a span")?).filter(|slot| *slot != u32::MAX),
        })
    }

    /// A batch; whether it can be computed is not checked here.
    pub(super) fn batch(&mut self) -> Result<Batch, Malformed> {
        let batch = Batch {
            tokens: self.numbers("the tokens")?,
            // What is scheduled is decoded; only encoders have types.
            types: Vec::new(),
            spans: self.several(("the spans", 24), Reader::span)?,
            blocks: self.numbers("the blocks")?,
            outputs: self.numbers("the outputs")?,
            copies: self.pairs("the copies")?,
            state_copies: self.pairs("the copies of states")?,
            // Whole models are computed elsewhere.
            inputs: Vec::new(),
            // Requests with adapters are refused before they are scheduled here.
            adapters: Vec::new(),
            // All logits travel.
            top: Vec::new(),
        };
        if self.0.is_empty() { Ok(batch) } else { Err(Malformed(format!("{} bytes are left over", self.0.len()))) }
    }

    pub(super) fn limits(&mut self) -> Result<(ExecutorLimits, [u8; 32]), Malformed> {
        let mut limit = || self.long("a limit").map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limits = ExecutorLimits {
            max_tokens: limit()?,
            max_outputs: limit()?,
            kv_blocks: limit()?,
            block_len: limit()?,
            state_slots: limit()?,
            vocab: limit()?,
        };
        Ok((limits, self.bytes("the fingerprint")?))
    }
}
