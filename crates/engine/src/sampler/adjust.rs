//! What changes logits before the temperature: token masks, words, early stop tokens, biases, penalties.

use super::{Draw, SampleError, Sampler, weights};
use crate::SamplingParams;

/// Marks a token of prompt or answer in the counts; the bits below count its occurrences in the answer.
const SEEN: u32 = 1 << 31;

impl Sampler {
    /// Fills `row` with the adjusted logits; gives the likeliest token. Tokens outside the vocabulary are passed over.
    pub(super) fn adjust(
        &mut self,
        logits: &[f32],
        params: &SamplingParams,
        draw: &Draw<'_>,
    ) -> Result<u32, SampleError> {
        self.row.clear();
        self.row.extend_from_slice(logits);
        if let Some(allowed) = draw.allowed {
            if allowed.is_empty() {
                return Err(SampleError::EmptyMask);
            }
            allowed.restrict(&mut self.row);
        }
        if let Some(allowed) = &params.words.allowed {
            allowed.restrict(&mut self.row);
        }
        for &token in draw.banned {
            self.change(token, |_| f32::NEG_INFINITY);
        }
        for bad in params.words.bad.iter() {
            if let Some((last, before)) = bad.split_last()
                && draw.answer.ends_with(before)
            {
                self.change(*last, |_| f32::NEG_INFINITY);
            }
        }
        for &(token, bias) in &params.logit_bias {
            self.change(token, |logit| logit + bias);
        }
        let penalties = &params.penalties;
        if penalties.repetition != 1.0 || penalties.frequency != 0.0 || penalties.presence != 0.0 {
            self.penalize(params, draw);
        }
        if let Some(dry) = &params.dry {
            self.dry(dry, draw);
        }
        weights::best(&self.row)
    }

    fn penalize(&mut self, params: &SamplingParams, draw: &Draw<'_>) {
        let penalties = params.penalties;
        self.count(draw);
        for &token in draw.prompt.iter().chain(draw.answer) {
            // Zeroed here, so that each token is penalized once and the counts are clear for the next call.
            let count = self.counts.get_mut(token as usize).map_or(0, std::mem::take);
            if count == 0 {
                continue;
            }
            let times = (count & !SEEN) as f32;
            self.change(token, |logit| {
                let logit = if logit > 0.0 { logit / penalties.repetition } else { logit * penalties.repetition };
                logit - penalties.frequency * times - penalties.presence * times.min(1.0)
            });
        }
    }

    fn count(&mut self, draw: &Draw<'_>) {
        self.counts.resize(self.row.len(), 0);
        for &token in draw.prompt {
            if let Some(count) = self.counts.get_mut(token as usize) {
                *count |= SEEN;
            }
        }
        for &token in draw.answer {
            if let Some(count) = self.counts.get_mut(token as usize) {
                *count = (*count | SEEN) + 1;
            }
        }
    }

    fn change(&mut self, token: u32, to: impl FnOnce(f32) -> f32) {
        if let Some(logit) = self.row.get_mut(token as usize) {
            *logit = to(*logit);
        }
    }
}
