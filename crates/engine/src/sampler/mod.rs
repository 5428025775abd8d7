//! Chooses tokens from logits.
//!
//! The order is vLLM's (decision record 0003): log-probabilities are reported from the raw logits; tokens that the
//! continuation's mask does not allow are ruled out, then those that the request does not, then stop tokens that come too early; logit bias; penalties
//! (repetition, frequency, presence), DRY; then the most likely token if the temperature is 0, else temperature, min-p, top-k,
//! typical, top-p, XTC, each on what the one before left, and a draw from the rest. A draw depends on the logits, the parameters, the seed and the number of tokens generated, on nothing else.

mod adjust;
mod dry;
mod filter;
mod logprobs;
mod weights;

#[cfg(test)]
mod tests;

pub use dry::{Breakers, Dry};
use filter::Candidates;
use graph::Top;
use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{SampledToken, SamplingParams, TokenSet, Xtc};

/// What decides a token besides logits and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw<'a> {
    /// The prompt.
    pub prompt: &'a [u32],
    /// The tokens generated so far.
    pub answer: &'a [u32],
    /// Tokens that must not be chosen.
    pub banned: &'a [u32],
    /// The only tokens that may be chosen; `None` allows all.
    pub allowed: Option<&'a TokenSet>,
    /// The continuation's seed.
    pub seed: u64,
}

/// Why no token could be chosen.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SampleError {
    /// The model's numbers overflowed, or a bias or penalty made them.
    #[error(
        "the logits hold NaN or infinity: the model's weights or the request's penalties and biases are out of range"
    )]
    NotFinite,
    /// Every token is ruled out.
    #[error("no token is allowed: the model, the request's biases and its minimum length rule out all of them")]
    NothingAllowed,
    /// The token mask allows nothing.
    #[error("the token mask allows no token of the vocabulary here")]
    EmptyMask,
}

/// Chooses tokens; keeps its working memory between calls.
#[derive(Debug, Default)]
pub struct Sampler {
    row: Vec<f32>,
    counts: Vec<u32>,
    weights: Vec<f32>,
    candidates: Candidates,
    /// For DRY: the last tokens, the last first; how far each repeats; and by token how long a repetition it would prolong.
    back: Vec<u32>,
    lengths: Vec<usize>,
    longest: HashMap<u32, usize>,
}

impl Sampler {
    /// A sampler for any vocabulary.
    pub fn new() -> Sampler {
        Sampler::default()
    }

    /// Chooses a token. `logits` has one number for each token of the vocabulary.
    ///
    /// # Errors
    /// If logits are NaN or plus infinity, or every token is ruled out.
    pub fn sample(
        &mut self,
        logits: &[f32],
        params: &SamplingParams,
        draw: &Draw<'_>,
    ) -> Result<SampledToken, SampleError> {
        let best = self.adjust(logits, params, draw)?;
        let id = match params.is_greedy() {
            true => best,
            false => self.draw(best, params, draw),
        };
        match params.logprobs {
            Some(count) => self.explain(logits, id, count),
            None => Ok(SampledToken { id, logprob: None, top: Vec::new() }),
        }
    }

    /// Chooses the token that [`Sampler::sample`] would from all logits, from the greatest of them: as many as [`SamplingParams::top`] says,
    /// which is where nothing but these can be chosen. `draw` rules out nothing.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn sample_top(
        &mut self,
        logits: &Top<'_>,
        params: &SamplingParams,
        draw: &Draw<'_>,
    ) -> Result<SampledToken, SampleError> {
        if logits.log_sum.is_nan() {
            return Err(SampleError::NotFinite);
        }
        let best = logits.numbers.first().filter(|logit| **logit > f32::NEG_INFINITY);
        let best = *best.ok_or(SampleError::NothingAllowed)?;
        let id = match params.is_greedy() {
            true => logits.columns[0] as u32,
            false => {
                weights::fill(&mut self.weights, logits.numbers, best, params.temperature);
                self.candidates.select_top(logits, &self.weights, params);
                self.candidates.xtc(xtc(params, draw));
                self.candidates.pick(chance(draw.seed, draw.answer.len()))
            }
        };
        let of = |count| self.explain_top(logits, id, count);
        Ok(params.logprobs.map_or_else(|| SampledToken { id, logprob: None, top: Vec::new() }, of))
    }

    /// The distribution that [`Sampler::sample`] draws from: tokens with their probabilities, in no particular order.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn distribution(
        &mut self,
        logits: &[f32],
        params: &SamplingParams,
        draw: &Draw<'_>,
    ) -> Result<Vec<(u32, f32)>, SampleError> {
        let best = self.adjust(logits, params, draw)?;
        if params.is_greedy() {
            return Ok(vec![(best, 1.0)]);
        }
        let total = self.weigh(best, params.temperature);
        let xtc = xtc(params, draw);
        if !Candidates::filters(params) && xtc.is_none() {
            let chosen = self.weights.iter().zip(0..).filter(|(weight, _)| **weight > 0.0);
            return Ok(chosen.map(|(&weight, id)| (id, (f64::from(weight) / total) as f32)).collect());
        }
        self.candidates.select(&self.row, &self.weights, total, params);
        self.candidates.xtc(xtc);
        Ok(self.candidates.probabilities())
    }

    fn draw(&mut self, best: u32, params: &SamplingParams, draw: &Draw<'_>) -> u32 {
        let total = self.weigh(best, params.temperature);
        let chance = chance(draw.seed, draw.answer.len());
        let xtc = xtc(params, draw);
        if !Candidates::filters(params) && xtc.is_none() {
            return weights::pick(&self.weights, chance * total) as u32;
        }
        self.candidates.select(&self.row, &self.weights, total, params);
        self.candidates.xtc(xtc);
        self.candidates.pick(chance)
    }

    /// Fills `weights` with the row's unnormalized probabilities, 1 for the `best`; returns their sum.
    fn weigh(&mut self, best: u32, temperature: f32) -> f64 {
        weights::fill(&mut self.weights, &self.row, self.row[best as usize], temperature);
        weights::sum(&self.weights)
    }
}

/// The threshold of XTC, if it takes part in this draw.
fn xtc(params: &SamplingParams, draw: &Draw<'_>) -> Option<f32> {
    let Xtc { probability, threshold } = params.xtc;
    // Past the half there is never a second token. Its chance is of other streams than the draw's.
    let drawn = || chance(draw.seed, draw.answer.len() | 1 << (usize::BITS - 1)) <= f64::from(probability);
    (probability > 0.0 && threshold <= 0.5 && drawn()).then_some(threshold)
}

/// A number in [0, 1) for the token at `index` of an answer. Each index has its own stream, so that a sequence that is
/// computed again, or in another batch, draws the same.
fn chance(seed: u64, index: usize) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index as u64);
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}
