//! How tokens are chosen, where anybody may be silent: a request, the model's own settings, the program's defaults.

use engine::{Penalties, SamplingParams, Xtc};

use crate::{DrySettings, Steering};

/// How tokens are chosen. `None` leaves a setting to whoever is asked next: the model, then the defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the most likely token.
    pub temperature: Option<f32>,
    /// Keeps the k most likely tokens; 0 keeps all.
    pub top_k: Option<usize>,
    /// Keeps the smallest set whose probability reaches p; 1 keeps all.
    pub top_p: Option<f32>,
    /// Keeps what is at least this share of the most likely token's probability; 0 keeps all.
    pub min_p: Option<f32>,
    /// Locally typical sampling; 1 keeps all.
    pub typical_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens that occurred; 1 is off.
    pub repetition_penalty: Option<f32>,
    /// Subtracted for every occurrence in the answer; 0 is off.
    pub frequency_penalty: Option<f32>,
    /// Subtracted once if a token occurs in the answer; 0 is off.
    pub presence_penalty: Option<f32>,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Tokens that are biased, allowed or left out by what they say. Nobody but a request says anything of it.
    pub steering: Steering,
    /// Guards against repetition and against what is too likely.
    pub guards: Guards,
    /// Makes sampling repeatable; `None` samples by chance.
    pub seed: Option<u64>,
}

/// What keeps an answer from saying the same again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guards {
    /// Makes tokens less likely that would prolong a repetition.
    pub dry: Option<DrySettings>,
    /// Leaves out what is too likely.
    pub xtc: Option<Xtc>,
}

impl Sampling {
    /// Always the most likely token.
    pub fn greedy() -> Sampling {
        Sampling { temperature: Some(0.0), ..Sampling::default() }
    }

    /// These settings, and those of `next` where these are silent.
    #[must_use]
    pub fn or(&self, next: &Sampling) -> Sampling {
        let own_bias = !self.logit_bias.is_empty();
        Sampling {
            temperature: self.temperature.or(next.temperature),
            top_k: self.top_k.or(next.top_k),
            top_p: self.top_p.or(next.top_p),
            min_p: self.min_p.or(next.min_p),
            typical_p: self.typical_p.or(next.typical_p),
            repetition_penalty: self.repetition_penalty.or(next.repetition_penalty),
            frequency_penalty: self.frequency_penalty.or(next.frequency_penalty),
            presence_penalty: self.presence_penalty.or(next.presence_penalty),
            logit_bias: if own_bias { &self.logit_bias } else { &next.logit_bias }.clone(),
            steering: self.steering.clone(),
            guards: Guards {
                dry: self.guards.dry.clone().or_else(|| next.guards.dry.clone()),
                xtc: self.guards.xtc.or(next.guards.xtc),
            },
            seed: self.seed.or(next.seed),
        }
    }

    /// What the engine is told but for what takes a vocabulary; where nobody said anything, the model's own distribution is
    /// sampled.
    pub fn params(&self, logprobs: Option<usize>) -> SamplingParams {
        let neutral = SamplingParams::default();
        SamplingParams {
            temperature: self.temperature.unwrap_or(neutral.temperature),
            top_k: self.top_k.unwrap_or(neutral.top_k),
            top_p: self.top_p.unwrap_or(neutral.top_p),
            min_p: self.min_p.unwrap_or(neutral.min_p),
            typical_p: self.typical_p.unwrap_or(neutral.typical_p),
            penalties: Penalties {
                repetition: self.repetition_penalty.unwrap_or(neutral.penalties.repetition),
                frequency: self.frequency_penalty.unwrap_or(neutral.penalties.frequency),
                presence: self.presence_penalty.unwrap_or(neutral.penalties.presence),
            },
            logit_bias: self.logit_bias.clone(),
            xtc: self.guards.xtc.unwrap_or(neutral.xtc),
            words: neutral.words,
            dry: neutral.dry,
            seed: self.seed,
            logprobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_first_is_heard() {
        let request = Sampling { top_k: Some(3), ..Sampling::default() };
        let model = Sampling { top_k: Some(5), top_p: Some(0.5), ..Sampling::default() };
        let defaults =
            Sampling { top_p: Some(0.9), min_p: Some(0.05), logit_bias: vec![(1, 2.0)], ..Sampling::default() };
        let params = request.or(&model).or(&defaults).params(Some(2));
        let expected = SamplingParams {
            top_k: 3,
            top_p: 0.5,
            min_p: 0.05,
            logit_bias: vec![(1, 2.0)],
            logprobs: Some(2),
            ..SamplingParams::default()
        };
        assert_eq!(params, expected);
    }
}
