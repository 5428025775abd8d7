//! What a draft model reads of a sequence, and what it drafts.

use std::ops::Range;

use graph::OutputRow;

use super::hidden::{HiddenOf, HiddenRows};
use super::{Acceptance, FEW};
use crate::BlockId;

/// A token that is less likely than this is not drafted, nor what would follow it.
const LEAST_PROBABILITY: f32 = 0.4;

/// Logits that are lower by more are of tokens that together change a probability by less than a hundredth.
const FAR: f32 = 16.0;

/// How far a draft model has read a sequence.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(super) blocks: Vec<BlockId>,
    /// Tokens from the front that are read; drafted ones are among them until they are compared.
    pub(super) tokens: usize,
    /// Tokens from the front that are not in `blocks`: a head has no row for the first one, nor for those before it that were found in
    /// the cache. Positions are relative, so those of its own begin after them.
    base: usize,
    /// Whether a head of the model itself reads it.
    by_head: bool,
    /// What a head reads beside tokens: each with the row of the one before it.
    rows: HiddenRows,
    /// The position of the first row that the current batch has of the sequence, and which rows these are.
    computed: Option<(usize, Range<usize>)>,
    /// The draft ended before a token that was not likely enough.
    withheld: bool,
    /// Seconds that drafting was expected to save, or may take for a trial, since the last draft.
    pub(super) credit: f64,
    /// Of the tokens that were looked for, those that were drafted and right; `None` before the first.
    yields: Option<Acceptance>,
}

impl Reading {
    /// Positions that are held.
    pub(super) fn positions(&self) -> usize {
        self.tokens - self.base
    }

    /// The current batch has these rows, from a position of the sequence on.
    pub(crate) fn computes(&mut self, position: usize, rows: Range<usize>) {
        self.computed = Some((position, rows));
    }

    /// Keeps the hidden states of what the last batch computed of the sequence; says whether there are enough for the head to read them
    /// now.
    pub(crate) fn keep(&mut self, hidden: &[f32], width: usize) -> bool {
        let Some((position, rows)) = self.computed.take() else { return false };
        let Some(hidden) = hidden.get(rows.start * width..rows.end * width) else { return false };
        self.rows.take(position, hidden, width, self.tokens.saturating_sub(1));
        self.rows.end() - self.rows.first() > FEW
    }

    /// Only so many tokens of the sequence are computed: rows of the current batch after them are of drafts that were wrong.
    pub(crate) fn confirm(&mut self, tokens: usize) {
        if let Some((position, rows)) = &mut self.computed {
            rows.end = rows.end.min(rows.start + tokens.saturating_sub(*position));
        }
    }

    /// Whether a head of the model itself reads it.
    pub(crate) fn is_by_head(&self) -> bool {
        self.by_head
    }

    /// Begins where rows begin, if what was read does not reach up to them.
    pub(super) fn catch_up(&mut self) {
        self.by_head = true;
        if self.tokens <= self.rows.first() {
            self.blocks.clear();
            (self.tokens, self.base) = (self.rows.first() + 1, self.rows.first() + 1);
        }
    }

    /// Tokens of which a head could read one more, as far as there are rows.
    pub(super) fn readable(&self) -> usize {
        self.rows.end() + 1
    }

    /// What a head reads beside the next tokens of the sequence.
    pub(super) fn hidden(&self, tokens: usize) -> &[f32] {
        self.rows.of(self.tokens - 1..self.tokens - 1 + tokens)
    }

    /// Gives up rows that cannot be read for now.
    pub(super) fn skip(&mut self) {
        self.rows.forget_before(self.rows.end());
        self.catch_up();
    }

    /// Blocks that are held.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Forgets all that was read.
    pub(super) fn let_go(&mut self) {
        self.blocks.clear();
        (self.tokens, self.base) = (0, 0);
    }

    pub(super) fn table(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().map(BlockId::index)
    }

    /// Takes note of what followed the first `before` tokens: of so many drafted tokens, and so many that came, so many from the front are
    /// the same. What was drafted wrongly is not read, nor by a head what was right, as it read that with rows of its own. Gives how many
    /// tokens were right, and how many were looked for.
    pub(crate) fn compare(&mut self, before: usize, [drafted, came, right]: [usize; 3], kept: f64) -> (usize, usize) {
        self.tokens = self.tokens.min(before + if self.by_head { 0 } else { right });
        let looked_for = std::mem::take(&mut self.withheld) || right < drafted;
        let compared = (right, right + usize::from(looked_for && right < came));
        self.yields.iter_mut().for_each(|yields| yields.learn(compared, kept));
        compared
    }
}

/// A sequence that may be drafted for.
pub(crate) struct Text<'s> {
    tokens: &'s [u32],
    draft: &'s mut Vec<u32>,
    pub(super) reading: &'s mut Reading,
    /// Tokens to draft at most.
    most: usize,
    /// Tokens that are expected to be right without a draft model.
    offered: f64,
    stage: Stage,
    /// The row of the current batch that its last token has.
    row: usize,
    /// What a head reads beside the last drafted token: its own row of the one before.
    own: Vec<f32>,
}

/// Where the drafting of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It reads, or drafts a token more.
    Open,
    /// It is read to its end in the current batch, and gets a token.
    Due,
    /// Nothing is drafted for it in this step, or nothing more.
    Closed,
}

impl<'s> Text<'s> {
    /// A text of which `most` tokens are drafted at most, if without them `offered` are expected to be right. What nobody has drafted for
    /// yet is expected to yield as `expected` says.
    pub(crate) fn new(
        (tokens, draft): (&'s [u32], &'s mut Vec<u32>),
        reading: &'s mut Reading,
        (most, offered): (usize, f64),
        expected: Acceptance,
    ) -> Text<'s> {
        draft.clear();
        reading.withheld = false;
        reading.yields.get_or_insert(expected);
        Text { tokens, draft, reading, most, offered, stage: Stage::Open, row: 0, own: Vec::new() }
    }

    /// Tokens that are not read.
    pub(super) fn unread(&self) -> usize {
        self.tokens.len() + self.draft.len() - self.reading.tokens
    }

    /// Tokens of the sequence.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens that are drafted at most.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(super) fn is_due(&self) -> bool {
        self.stage == Stage::Due
    }

    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
    }

    /// Drafts so many tokens at most.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = self.most.min(most);
    }

    /// The share of the tokens that are looked for that is expected to be right.
    pub(super) fn yields(&self) -> f64 {
        self.reading.yields.unwrap_or_default().share()
    }

    /// Tokens that so many drafted ones are expected to give more than what is offered without.
    pub(super) fn gain(&self, tokens: usize) -> f64 {
        (in_a_row(self.yields(), tokens.min(self.most)) - self.offered).max(0.0)
    }

    /// What it reads next, `room` tokens at most: the sequence, then each token that was drafted.
    pub(super) fn next(&self, room: usize) -> &[u32] {
        let unread = match self.reading.tokens.checked_sub(self.tokens.len()) {
            None => &self.tokens[self.reading.tokens..],
            Some(drafted) => &self.draft[drafted..],
        };
        &unread[..unread.len().min(room)]
    }

    /// What a head reads beside the next `rows` tokens.
    pub(super) fn hidden(&self, rows: usize) -> HiddenOf<'_> {
        match self.draft.is_empty() {
            true => HiddenOf::Model(self.reading.hidden(rows)),
            false => HiddenOf::Head(&self.own),
        }
    }

    /// If it drafts a token more, a head reads that with the row that it has made of the last one.
    pub(super) fn follow(&mut self, hidden: &[f32], width: usize) {
        if self.stage != Stage::Open {
            return;
        }
        self.own.clear();
        match hidden.get(self.row * width..(self.row + 1) * width) {
            Some(row) => self.own.extend_from_slice(row),
            None => self.close(),
        }
    }

    /// So many tokens more are in the current batch, up to the row before `end`; says whether these are all.
    pub(super) fn has_read(&mut self, rows: usize, end: usize) -> bool {
        self.reading.tokens += rows;
        self.row = end - 1;
        let whole = self.unread() == 0;
        self.stage = if whole { Stage::Due } else { Stage::Closed };
        whole
    }

    /// Takes the most likely of the first `vocab` tokens after its last one, if it is likely enough. If `tokens` are given, it is the one
    /// that stands there in its place.
    pub(super) fn take(&mut self, logits: OutputRow<'_>, vocab: usize, tokens: Option<&[u32]>) {
        let (token, probability) = match logits {
            OutputRow::Whole(logits) => most_likely(&logits[..vocab]),
            // Of numbers that are none the probability is none either.
            OutputRow::Top(top) => (top.columns[0] as u32, (-top.log_sum).exp()),
        };
        self.reading.credit = 0.0;
        self.reading.withheld = probability.is_nan() || probability < LEAST_PROBABILITY;
        if !self.reading.withheld {
            self.draft.push(tokens.map_or(token, |tokens| tokens[token as usize]));
        }
        let goes_on = !self.reading.withheld && self.draft.len() < self.most;
        self.stage = if goes_on { Stage::Open } else { Stage::Closed };
    }
}

/// How many of so many tokens are right in a row, if each is with this probability.
pub(crate) fn in_a_row(share: f64, tokens: usize) -> f64 {
    (1..=tokens as i32).map(|at| share.powi(at)).sum()
}

/// The most likely token, the first of equals, with its probability; 0 if there are no numbers.
fn most_likely(logits: &[f32]) -> (u32, f32) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let Some(token) = logits.iter().position(|logit| *logit == most) else { return (0, 0.0) };
    let near = logits.iter().map(|logit| logit - most).filter(|less| *less > -FAR);
    (token as u32, 1.0 / near.map(f32::exp).sum::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_likely_token_has_its_probability() {
        let check = |logits: &[f32], token: u32, probability: f32| {
            let (found, share) = most_likely(logits);
            assert!(found == token && (share - probability).abs() < 1e-6, "{logits:?}: {found} {share}");
        };
        check(&[0.0, 2f32.ln(), 0.0], 1, 0.5);
        check(&[3.0, 3.0], 0, 0.5);
        check(&[-1e30, 7.0, f32::NEG_INFINITY], 1, 1.0);
        check(&[f32::NAN, f32::NAN], 0, 0.0);
        check(&[], 0, 0.0);
    }

    #[test]
    fn drafts_end_where_the_model_is_not_sure() {
        let (mut draft, mut reading) = (vec![9], Reading::default());
        let mut text = Text::new((&[1, 2, 3], &mut draft), &mut reading, (2, 0.0), Acceptance::default());
        assert_eq!((text.next(2).to_vec(), text.has_read(2, 2), text.is_open()), (vec![1, 2], false, false));
        text.stage = Stage::Open;
        assert_eq!((text.next(9).to_vec(), text.has_read(1, 1), text.is_due()), (vec![3], true, true));
        text.take(OutputRow::Whole(&[0.0, 5.0]), 2, None);
        assert_eq!((text.next(9).to_vec(), text.has_read(1, 1)), (vec![1], true));
        let mut row = vec![];
        graph::reduce(&[5.0, 0.0], 1, &mut row);
        text.take(graph::Outputs::new(&row, 2, &[1]).row(0), 2, Some(&[0, 7]));
        assert!(!text.is_open() && *text.draft == [1, 0]);
        // The first was right: it is read, and the second never was.
        assert_eq!((reading.compare(3, [2, 2, 1], 0.9), reading.tokens), ((1, 2), 4));
        let mut text = Text::new((&[1, 2, 3, 1, 1], &mut draft), &mut reading, (2, 0.0), Acceptance::default());
        assert_eq!((text.next(9).to_vec(), text.has_read(1, 1)), (vec![1], true));
        text.take(OutputRow::Whole(&[0.0, 0.0, 0.0]), 3, None);
        assert!(!text.is_open() && text.draft.is_empty());
        // It was looked for in vain, once.
        assert_eq!([(); 2].map(|()| reading.compare(5, [0, 1, 0], 0.9)), [(0, 1), (0, 0)]);
    }

    #[test]
    fn tokens_in_a_row_are_a_geometric_series() {
        for (share, tokens, wanted) in [(0.5, 3, 0.875), (1.0, 4, 4.0), (0.0, 9, 0.0), (0.7, 0, 0.0)] {
            assert!((in_a_row(share, tokens) - wanted).abs() < 1e-12);
        }
    }
}
