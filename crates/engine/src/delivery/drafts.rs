//! The drafts of a sequence: what may follow it, from its own text or from a draft model, and how good those of each have been.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use super::lookup::Lookup;
use super::{Delivery, Stream};
use crate::drafter::{Acceptance, Drafter, Reading, Text, in_a_row};
use crate::{Draft, Scheduler, SequenceId};

/// What an older comparison counts beside the next newer one.
const KEPT: f64 = 0.9;

/// Tokens that may follow, and how good those from the same source have been.
#[derive(Debug, Default)]
struct Guess {
    tokens: Vec<u32>,
    acceptance: Acceptance,
}

impl Guess {
    fn share(&self) -> f64 {
        self.acceptance.share()
    }

    /// How many tokens there were, how many came, and how many from the front are the same.
    fn compare(&mut self, came: &[u32]) -> [usize; 3] {
        let (drafted, right) = (self.tokens.len(), same(&self.tokens, came));
        let wrong = right < came.len().min(drafted);
        self.acceptance.learn((right, right + usize::from(wrong)), KEPT);
        self.tokens.clear();
        [drafted, came.len(), right]
    }
}

/// Where a draft comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The sequence's own text, or what its request expects.
    Text,
    /// A draft model.
    Model,
    /// A head of the model itself.
    Head,
}

/// What may follow a sequence, and what was computed of it.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    lookup: Lookup,
    by_lookup: Guess,
    by_model: Guess,
    /// How far the draft model has read the sequence.
    pub(super) reading: Reading,
    /// The rows of output that the batch has for drafted tokens.
    pub(super) rows: Range<usize>,
}

impl Drafts {
    /// Looks up `most` tokens at most that may follow `tokens`, of which so many are the prompt.
    pub(super) fn look_up(&mut self, tokens: (&[u32], usize), expected: &[u32], most: usize) {
        self.rows = 0..0;
        self.lookup.draft(tokens, expected, most, &mut self.by_lookup.tokens);
    }

    /// What a draft model reads to draft `most` tokens at most; `None` where what was looked up is as good.
    fn text<'s>(&'s mut self, tokens: &'s [u32], most: usize, model: &Drafter) -> Option<Text<'s>> {
        let Drafts { by_lookup, by_model, reading, .. } = self;
        let (most, has) = (most.min(model.context().saturating_sub(tokens.len())), by_lookup.tokens.len());
        if most == 0 || has > 0 && by_lookup.share() >= by_model.share() {
            return None;
        }
        if !model.can_read(reading, tokens.len()) {
            return None;
        }
        let offered = in_a_row(by_lookup.share(), has);
        Some(Text::new((tokens, &mut by_model.tokens), reading, (most, offered), model.yields()))
    }

    /// The draft that is used: the model's, if it was asked and was sure enough.
    fn used(&self) -> &Guess {
        if self.is_by_model() { &self.by_model } else { &self.by_lookup }
    }

    /// Whether the draft is the model's.
    fn is_by_model(&self) -> bool {
        !self.by_model.tokens.is_empty()
    }

    /// Where the draft that is used comes from.
    pub(super) fn source(&self) -> Source {
        match (self.is_by_model(), self.reading.is_by_head()) {
            (false, _) => Source::Text,
            (true, false) => Source::Model,
            (true, true) => Source::Head,
        }
    }

    /// What there is for the next step; `None` if nothing.
    pub(super) fn offer(&self) -> Option<Draft> {
        let Guess { tokens, acceptance } = self.used();
        (!tokens.is_empty()).then_some(Draft { tokens: tokens.len(), acceptance: acceptance.share() })
    }

    /// The first tokens of the draft.
    pub(super) fn first(&self, tokens: usize) -> &[u32] {
        &self.used().tokens[..tokens]
    }

    /// How many tokens from the front are as drafted.
    pub(super) fn right(&self, tokens: &[u32]) -> usize {
        same(&self.used().tokens, tokens)
    }

    /// Takes note of what came after the first `before` tokens, of which so many are computed, whether drafts of it were computed or not.
    /// Gives of the draft model how many tokens were right, and how many were looked for.
    pub(super) fn compare(&mut self, before: usize, came: &[u32], computed: usize) -> (usize, usize) {
        self.reading.confirm(before + computed);
        self.by_lookup.compare(came);
        self.reading.compare(before, self.by_model.compare(came), KEPT)
    }
}

impl Delivery {
    /// Lets the draft model say what may follow the sequences of a step that only decodes; gives the time that this took.
    pub(crate) fn draft_by_model(&mut self, scheduler: &Scheduler, clock: &dyn Fn() -> Duration) -> Duration {
        let Delivery { streams, drafter, most, .. } = self;
        let Some(model) = drafter.as_mut().filter(|_| *most > 0 && scheduler.speculates()) else {
            return Duration::ZERO;
        };
        let started = clock();
        let left: HashMap<SequenceId, usize> =
            scheduler.batch().map(|sequence| (sequence.id(), scheduler.draftable(sequence).min(*most))).collect();
        let texts = streams
            .iter_mut()
            .filter_map(|(id, Stream { drafts, tokens, .. })| drafts.text(tokens, *left.get(id)?, model));
        let mut texts: Vec<Text> = texts.collect();
        let drafted = model.draft(&mut texts, (scheduler.work(), scheduler.latency()), clock);
        if drafted.is_err() {
            // It is part of no answer: without it they only take longer.
            *drafter = None;
        }
        clock().saturating_sub(started)
    }

    /// Keeps the hidden states of what the last batch computed for a head that reads them, and lets it read what waits for it.
    pub(crate) fn keep_up(&mut self, hidden: &[f32], clock: &dyn Fn() -> Duration) {
        let Delivery { streams, drafter, most, .. } = self;
        let head = drafter.as_mut().filter(|_| *most > 0);
        let Some((head, width)) = head.and_then(|head| head.hidden().map(|width| (head, width))) else { return };
        let waiting = streams.values_mut().filter_map(|Stream { tokens, drafts, .. }| {
            drafts.reading.keep(hidden, width).then_some((&tokens[..], &mut drafts.reading))
        });
        let mut waiting: Vec<(&[u32], &mut Reading)> = waiting.collect();
        if head.keep_up(&mut waiting, clock).is_err() {
            *drafter = None;
        }
    }

    /// Checks that what the draft model holds is held for somebody.
    pub(super) fn check_drafts(&self) -> Result<(), String> {
        let held = self.streams.values().map(|stream| stream.drafts.reading.blocks()).sum();
        self.drafter.as_ref().map_or(Ok(()), |model| model.check(held))
    }
}

/// How many tokens from the front are the same.
pub(super) fn same(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_that_fail_are_offered_as_such() {
        let acceptance = |came: &[u32], times: usize| {
            let (mut drafts, tokens) = (Drafts::default(), [1, 2, 3, 4, 5, 6, 1, 2, 3]);
            for _ in 0..times {
                drafts.look_up((&tokens, 6), &[], 3);
                drafts.compare(9, came, 0);
            }
            drafts.look_up((&tokens, 6), &[], 3);
            drafts.offer().map(|draft| draft.acceptance)
        };
        assert_eq!(acceptance(&[], 9), Some(0.5));
        assert!(acceptance(&[4, 5, 6, 9], 9) > Some(0.9));
        assert!(acceptance(&[9], 9) < Some(0.1));
        assert_eq!(acceptance(&[4, 9], 99).map(|share| (100.0 * share).round()), Some(50.0));
    }
}
