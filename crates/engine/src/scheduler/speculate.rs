//! Speculation: how many drafted tokens a step computes besides, to choose several tokens of a sequence at once.
//!
//! A draft is only a guess at what will be chosen. Each token is chosen from the logits that it would have had without, which are the same
//! bits; so speculation changes how long answers take, and nothing else. What binds the speed of decoding is reading the weights, which
//! some more rows do not make longer; how long steps take with them is learnt ([`LatencyModel`](crate::LatencyModel)).

use super::{Contents, Scheduler, Sequence, SequenceId, Step};
use crate::{StateSlot, StateSlots, Work};

/// Tokens that may follow a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    /// How many.
    pub tokens: usize,
    /// The probability that one is right if those before it are.
    pub acceptance: f64,
}

/// A sequence of recurrent layers before the drafted rows of a step.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) id: SequenceId,
    cached: usize,
    /// Drafted rows: if all are right, nothing is taken back.
    drafts: usize,
    /// Has its state then.
    slot: StateSlot,
}

/// The draft of a sequence, by its index into the running ones, as far as it is not planned.
struct Offer {
    at: usize,
    left: usize,
    acceptance: f64,
    /// The probability that the next token is right.
    chance: f64,
}

impl Scheduler {
    /// Gives drafted tokens rows in a step that only decodes, as long as each is expected to be worth its time: the step then chooses
    /// more tokens a second. Nobody loses blocks for them.
    pub fn speculate(&mut self, contents: &impl Contents) {
        if !self.speculates() {
            return;
        }
        let planned = || self.running.iter().enumerate().filter(|(_, sequence)| sequence.rows > 0);
        let offer =
            |(at, sequence): (usize, &Sequence)| offer(at, contents.draft(sequence.id)?, self.draftable(sequence));
        let mut offers: Vec<Offer> = planned().filter_map(offer).collect();
        // Of states a row that was wrong is taken back by computing those before it again.
        let times = if self.states.total() > 0 { 2 } else { 1 };
        let mut work = planned().map(|(_, sequence)| sequence).fold(Work::default(), Work::and);
        let mut expected = work.decode_rows as f64;
        while self.step.outputs > 0 && work.decode_rows < self.limits.rows {
            let Some(best) = offers.iter().enumerate().max_by(|a, b| a.1.chance.total_cmp(&b.1.chance)) else { return };
            let best = best.0;
            let Offer { at, chance, acceptance, .. } = offers[best];
            let sequence = &mut self.running[at];
            let with = |rows: usize| Work {
                decode_rows: work.decode_rows + rows,
                draft_rows: work.draft_rows + rows,
                context: work.context + rows * sequence.tokens,
                ..work
            };
            if !pays(&self.latency, (expected, work), (expected + chance, with(times))) {
                return;
            }
            let more = with(1);
            let (cached, end) = (sequence.cached, sequence.cached + sequence.rows + 1);
            if self.step.can_keep(&self.states, sequence)
                && self.cache.reserve(&mut sequence.blocks, cached, end, &mut self.step.copies)
            {
                self.step.keep(&self.states, sequence);
                sequence.rows += 1;
                self.step.outputs -= 1;
                (work, expected) = (more, expected + chance);
                (offers[best].left, offers[best].chance) = (offers[best].left - 1, chance * acceptance);
            } else {
                offers[best].left = 0;
            }
            if offers[best].left == 0 {
                offers.swap_remove(best);
            }
        }
    }

    /// Whether drafted tokens can have rows in the step that was decided.
    pub(crate) fn speculates(&self) -> bool {
        !self.step.batch.is_empty() && self.batch().all(Sequence::decodes)
    }

    /// How many drafted tokens of a sequence may have rows. States are kept at the ends of blocks, so that a step of plain rows ends there,
    /// and a state that may be taken back is before.
    pub(crate) fn draftable(&self, sequence: &Sequence) -> usize {
        let left = sequence.tokens_left() - 1;
        match (self.states.total(), self.states.free()) {
            (0, _) => left,
            (_, 0) => 0,
            _ => left.min((self.cache.block_len() - sequence.cached % self.cache.block_len()).saturating_sub(2)),
        }
    }

    /// A sequence has `tokens` more than the one that was chosen for it, as they were drafted or forced. `computed` of the tokens from
    /// the one that was chosen were drafted, and need not be computed. Blocks for drafts that were wrong are free again.
    pub fn lengthen(&mut self, id: SequenceId, tokens: usize, computed: usize) {
        let Some(at) = self.running.iter().position(|sequence| sequence.id == id) else { return };
        let sequence = &mut self.running[at];
        sequence.tokens += tokens;
        match self.step.undo.iter().position(|undo| undo.id == id).map(|at| self.step.undo.swap_remove(at)) {
            // Its state has seen tokens that were not chosen.
            Some(undo) if computed < undo.drafts => {
                sequence.cached = undo.cached;
                sequence.slots = vec![undo.slot];
            }
            _ => sequence.cached += computed,
        }
        sequence.blocks.truncate(self.cache.blocks_for(sequence.tokens));
    }
}

impl Step {
    /// Whether the state that a sequence has before its drafted rows can be kept, if it has one.
    fn can_keep(&self, states: &StateSlots, sequence: &Sequence) -> bool {
        sequence.state().is_none() || sequence.drafts() > 0 || states.free() > 0
    }

    /// Keeps that state, as the sequence gets one drafted row more.
    fn keep(&mut self, states: &StateSlots, sequence: &Sequence) {
        let Some(state) = sequence.state() else { return };
        if let Some(undo) = self.undo.iter_mut().find(|undo| undo.id == sequence.id) {
            undo.drafts += 1;
        } else if let Some(slot) = states.take(1).pop() {
            self.state_copies.push((state, slot.index()));
            self.undo.push(Undo { id: sequence.id, cached: sequence.cached, drafts: 1, slot });
        }
    }
}

fn offer(at: usize, Draft { tokens, acceptance }: Draft, most: usize) -> Option<Offer> {
    let left = tokens.min(most);
    (left > 0).then_some(Offer { at, left, acceptance, chance: acceptance })
}

/// Whether a step is worth more rows, which make `more` tokens of `tokens`: as long as nothing is known of steps it is.
fn pays(latency: &crate::LatencyModel, (tokens, work): (f64, Work), (more, with): (f64, Work)) -> bool {
    match (latency.predict(work), latency.predict(with)) {
        (Some(before), Some(after)) => more * before.as_secs_f64() > tokens * after.as_secs_f64(),
        _ => true,
    }
}
