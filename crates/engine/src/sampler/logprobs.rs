//! Log-probabilities, from the logits as the model gave them.

use graph::Top;

use super::{SampleError, Sampler, weights};
use crate::SampledToken;

impl Sampler {
    /// What a given token is worth after these logits: as for one that was chosen, with the `count` likeliest.
    ///
    /// # Errors
    /// If logits are NaN or plus infinity, or every token is ruled out.
    pub fn score(&mut self, logits: &[f32], id: u32, count: usize) -> Result<SampledToken, SampleError> {
        self.explain(logits, id, count)
    }

    /// The token `id` with its log-probability and the `count` likeliest tokens with theirs.
    pub(super) fn explain(&mut self, logits: &[f32], id: u32, count: usize) -> Result<SampledToken, SampleError> {
        let max = logits[weights::best(logits)? as usize];
        weights::fill(&mut self.weights, logits, max, 1.0);
        let log_sum = weights::sum(&self.weights).ln();
        let logprob = |logit: f32| (f64::from(logit - max) - log_sum) as f32;
        let top = self.candidates.largest(logits, count).map(|(id, logit)| (id, logprob(logit))).collect();
        Ok(SampledToken { id, logprob: Some(logprob(logits[id as usize])), top })
    }

    /// As [`Sampler::explain`], where the greatest logits are known, of which `id` and the `count` likeliest are some.
    pub(super) fn explain_top(&self, logits: &Top<'_>, id: u32, count: usize) -> SampledToken {
        let greatest = logits.numbers[0];
        let all = logits.columns.iter().zip(logits.numbers);
        let mut all = all.map(|(&column, logit)| (column as u32, logit - greatest - logits.log_sum));
        let top: Vec<(u32, f32)> = all.clone().take(count).collect();
        SampledToken { id, logprob: all.find(|(column, _)| *column == id).map(|(_, logprob)| logprob), top }
    }
}
