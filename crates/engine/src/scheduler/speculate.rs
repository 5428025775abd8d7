//! Speculation: how many drafted tokens a step computes besides, to choose several tokens of a sequence at once.
//!
//! A draft is only a guess at what will be chosen. Each token is chosen from the logits that it would have had without, which are the same
//! bits; so speculation changes how long answers take, and nothing else. What binds the speed of decoding is reading the weights, which
//! some more rows do not make longer; how long steps take with them is learnt ([`LatencyModel`](crate::LatencyModel)).

use super::{Contents, Scheduler, Sequence};
use crate::Work;

/// Tokens that may follow a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    /// How many.
    pub tokens: usize,
    /// The probability that one is right if those before it are.
    pub acceptance: f64,
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
    /// more tokens a second. Nobody loses blocks for them. States of recurrent layers cannot be taken back, and so have no drafts.
    pub fn speculate(&mut self, contents: &impl Contents) {
        if !self.speculates() {
            return;
        }
        let planned = || self.running.iter().enumerate().filter(|(_, sequence)| sequence.rows > 0);
        let mut offers: Vec<Offer> = planned().filter_map(|(at, sequence)| offer(at, sequence, contents)).collect();
        let mut work = planned().map(|(_, sequence)| sequence).fold(Work::default(), Work::and);
        let mut expected = work.decode_rows as f64;
        while self.step.outputs > 0 && work.decode_rows < self.limits.rows {
            let Some(best) = offers.iter().enumerate().max_by(|a, b| a.1.chance.total_cmp(&b.1.chance)) else { return };
            let best = best.0;
            let Offer { at, chance, acceptance, .. } = offers[best];
            let sequence = &mut self.running[at];
            let more = Work {
                decode_rows: work.decode_rows + 1,
                draft_rows: work.draft_rows + 1,
                context: work.context + sequence.tokens,
                ..work
            };
            if !pays(&self.latency, (expected, work), (expected + chance, more)) {
                return;
            }
            let (cached, end) = (sequence.cached, sequence.cached + sequence.rows + 1);
            if self.cache.reserve(&mut sequence.blocks, cached, end, &mut self.step.copies) {
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
        self.states.total() == 0 && !self.step.batch.is_empty() && self.batch().all(Sequence::decodes)
    }

    /// A sequence has `tokens` more than the one that was chosen for it, as they were drafted or forced. `computed` of the tokens from
    /// the one that was chosen were drafted, and need not be computed. Blocks for drafts that were wrong are free again.
    pub fn lengthen(&mut self, id: super::SequenceId, tokens: usize, computed: usize) {
        let Some(at) = self.running.iter().position(|sequence| sequence.id == id) else { return };
        let sequence = &mut self.running[at];
        sequence.tokens += tokens;
        sequence.cached += computed;
        sequence.blocks.truncate(self.cache.blocks_for(sequence.tokens));
    }
}

fn offer(at: usize, sequence: &Sequence, contents: &impl Contents) -> Option<Offer> {
    let Draft { tokens, acceptance } = contents.draft(sequence.id)?;
    let left = tokens.min(sequence.tokens_left() - 1);
    (left > 0).then_some(Offer { at, left, acceptance, chance: acceptance })
}

/// Whether a step is worth more rows, which make `more` tokens of `tokens`: as long as nothing is known of steps it is.
fn pays(latency: &crate::LatencyModel, (tokens, work): (f64, Work), (more, with): (f64, Work)) -> bool {
    match (latency.predict(work), latency.predict(with)) {
        (Some(before), Some(after)) => more * before.as_secs_f64() > tokens * after.as_secs_f64(),
        _ => true,
    }
}
