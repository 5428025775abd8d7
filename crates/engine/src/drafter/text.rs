//! What a draft model reads of a sequence, and what it drafts.

use graph::OutputRow;

use super::Acceptance;
use crate::BlockId;

/// A token that is less likely than this is not drafted, nor what would follow it.
const LEAST_PROBABILITY: f32 = 0.4;

/// Logits that are lower by more are of tokens that together change a probability by less than a hundredth.
const FAR: f32 = 16.0;

/// How far a draft model has read a sequence.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(super) blocks: Vec<BlockId>,
    /// Tokens from the front that `blocks` hold; drafted ones are among them until they are compared.
    pub(super) tokens: usize,
    /// The draft ended before a token that was not likely enough.
    withheld: bool,
    /// Seconds that drafting was expected to save, or may take for a trial, since the last draft.
    pub(super) credit: f64,
    /// Of the tokens that were looked for, those that were drafted and right; `None` before the first.
    yields: Option<Acceptance>,
}

impl Reading {
    /// Tokens from the front that are read.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Blocks that are held.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Forgets all that was read.
    pub(super) fn let_go(&mut self) {
        self.blocks.clear();
        self.tokens = 0;
    }

    pub(super) fn table(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().map(BlockId::index)
    }

    /// Takes note of what followed the first `before` tokens: of so many drafted tokens, and so many that came, so many from the front are
    /// the same. What was drafted wrongly is not read. Gives how many tokens were right, and how many were looked for.
    pub(crate) fn compare(&mut self, before: usize, [drafted, came, right]: [usize; 3], kept: f64) -> (usize, usize) {
        self.tokens = self.tokens.min(before + right);
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
        Text { tokens, draft, reading, most, offered, stage: Stage::Open }
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

    /// So many tokens more are in the current batch; says whether these are all.
    pub(super) fn has_read(&mut self, rows: usize) -> bool {
        self.reading.tokens += rows;
        let whole = self.unread() == 0;
        self.stage = if whole { Stage::Due } else { Stage::Closed };
        whole
    }

    /// Takes the most likely of the first `vocab` tokens after its last one, if it is likely enough.
    pub(super) fn take(&mut self, logits: OutputRow<'_>, vocab: usize) {
        let (token, probability) = match logits {
            OutputRow::Whole(logits) => most_likely(&logits[..vocab]),
            // Of numbers that are none the probability is none either.
            OutputRow::Top(top) => (top.columns[0] as u32, (-top.log_sum).exp()),
        };
        self.reading.credit = 0.0;
        self.reading.withheld = probability.is_nan() || probability < LEAST_PROBABILITY;
        if !self.reading.withheld {
            self.draft.push(token);
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
        assert_eq!((text.next(2).to_vec(), text.has_read(2), text.is_open()), (vec![1, 2], false, false));
        text.stage = Stage::Open;
        assert_eq!((text.next(9).to_vec(), text.has_read(1), text.is_due()), (vec![3], true, true));
        text.take(OutputRow::Whole(&[0.0, 5.0]), 2);
        assert_eq!((text.next(9).to_vec(), text.has_read(1)), (vec![1], true));
        let mut row = vec![];
        graph::reduce(&[5.0, 0.0], 1, &mut row);
        text.take(graph::Outputs::new(&row, 2, &[1]).row(0), 2);
        assert!(!text.is_open() && *text.draft == [1, 0]);
        // The first was right: it is read, and the second never was.
        assert_eq!((reading.compare(3, [2, 2, 1], 0.9), reading.tokens), ((1, 2), 4));
        let mut text = Text::new((&[1, 2, 3, 1, 1], &mut draft), &mut reading, (2, 0.0), Acceptance::default());
        assert_eq!((text.next(9).to_vec(), text.has_read(1)), (vec![1], true));
        text.take(OutputRow::Whole(&[0.0, 0.0, 0.0]), 3);
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
