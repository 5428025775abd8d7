//! What clients of the simulator order, and the answer by definition.

use engine::{
    Draw, FinishReason, MaskError, MaskState, Penalties, Priority, SampledToken, Sampler, SamplingParams, StopRules,
    TokenMask, TokenSet,
};

use super::dice::Dice;
use crate::executor::{VOCAB, chain, logits};

/// What was ordered.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) prompt: Vec<u32>,
    pub(super) params: SamplingParams,
    pub(super) stop: StopRules,
    pub(super) seed: u64,
    pub(super) mask: Option<Sieve>,
    pub(super) priority: Priority,
    /// The prompt is scored, with so many alternatives.
    pub(super) scored: Option<usize>,
}

impl Order {
    /// A random order that begins with `name`, for sequences that may be as long as `longest`.
    pub(super) fn random(dice: &mut Dice, name: [u32; 2], longest: usize) -> Order {
        let length = if dice.chance(0.02) { dice.upto(3 * longest) } else { dice.upto(longest) } + 1;
        let prompt = name.into_iter().chain((2..length).map(|_| dice.token())).collect();
        let seed = if dice.chance(0.1) { u64::MAX } else { dice.number() };
        let penalties = Penalties { repetition: 1.2, frequency: 0.3, presence: 0.1 };
        // Answers of few tokens repeat themselves.
        let favourites = if dice.chance(0.4) { dice.upto(3) + 1 } else { 0 };
        let params = SamplingParams {
            temperature: if dice.chance(0.3) { 0.0 } else { 1.0 },
            top_k: dice.upto(3) * 7,
            penalties: if dice.chance(0.3) { penalties } else { SamplingParams::default().penalties },
            logit_bias: (0..favourites).map(|_| (dice.token(), 9.0)).collect(),
            seed: Some(seed),
            logprobs: dice.chance(0.1).then_some(2),
            ..SamplingParams::default()
        };
        let stop: Vec<u32> = (0..dice.upto(3)).map(|_| dice.token()).collect();
        let stop = StopRules { max_tokens: dice.upto(30), min_tokens: dice.upto(4), tokens: stop.into() };
        let mask = dice.chance(0.2).then(|| Sieve::random(dice));
        let priority = [Priority::High, Priority::Normal, Priority::Low][dice.upto(3)];
        let scored = dice.chance(0.2).then(|| dice.upto(3));
        Order { prompt, params, stop, seed, mask, priority, scored }
    }

    /// Whether its prompt is too long for sequences that may be as long as `longest`.
    pub(super) fn refused(&self, longest: usize) -> bool {
        let room = usize::from(self.scored.is_none() || self.stop.max_tokens > 0);
        self.prompt.len() + room > longest
    }

    /// What the tokens of the prompt are worth, by definition.
    pub(super) fn scores(&self) -> Option<Vec<SampledToken>> {
        let count = self.scored?;
        let (mut prefix, mut sampler) = (0, Sampler::new());
        let score = |pair: &[u32]| {
            prefix = chain(prefix, pair[0]);
            sampler.score(&logits(prefix), pair[1], count).expect("the logits are numbers")
        };
        Some(self.prompt.windows(2).map(score).collect())
    }

    /// The answer by definition: no batch, no cache, no engine.
    pub(super) fn alone(&self, longest: usize) -> (Vec<u32>, FinishReason) {
        let (mut answer, mut sampler, mut mask) = (Vec::new(), Sampler::new(), self.mask.clone());
        let mut prefix = self.prompt.iter().fold(0, |prefix, token| chain(prefix, *token));
        while answer.len() < self.stop.max_tokens && self.prompt.len() + answer.len() < longest {
            let banned: &[u32] = if answer.len() < self.stop.min_tokens { &self.stop.tokens } else { &[] };
            let allowed = mask.as_ref().map(Sieve::allowed);
            let draw =
                Draw { prompt: &self.prompt, answer: &answer, banned, allowed: allowed.as_ref(), seed: self.seed };
            let token = match sampler.sample(&logits(prefix), &self.params, &draw) {
                Ok(token) => token.id,
                Err(error) => return (answer, FinishReason::Failed(error.to_string().into())),
            };
            answer.push(token);
            if self.stop.tokens.contains(&token) {
                return (answer, FinishReason::Stop(token));
            }
            if mask.as_mut().is_some_and(|mask| mask.accept(token) == Ok(MaskState::Complete)) {
                return (answer, FinishReason::Complete);
            }
            prefix = chain(prefix, token);
        }
        (answer, FinishReason::Length)
    }
}

/// A mask that lets through what depends on all tokens so far.
#[derive(Clone)]
pub(super) struct Sieve {
    modulus: u32,
    sum: u32,
    /// Tokens until it is complete.
    left: usize,
    /// Then it lets nothing through instead.
    starves: bool,
}

impl Sieve {
    fn random(dice: &mut Dice) -> Sieve {
        Sieve { modulus: dice.upto(5) as u32 + 2, sum: 0, left: dice.upto(20) + 1, starves: dice.chance(0.2) }
    }

    fn allowed(&self) -> TokenSet {
        let mut set = TokenSet::new(VOCAB);
        self.clone().fill(&mut set).expect("a sieve does not fail");
        set
    }
}

impl TokenMask for Sieve {
    fn fill(&mut self, allowed: &mut TokenSet) -> Result<(), MaskError> {
        let passes = |token: &u32| !(token + self.sum).is_multiple_of(self.modulus);
        if self.left > 1 || !self.starves {
            (0..VOCAB as u32).filter(passes).for_each(|token| allowed.allow(token));
        }
        Ok(())
    }

    fn accept(&mut self, token: u32) -> Result<MaskState, MaskError> {
        self.sum += token;
        self.left = self.left.saturating_sub(1);
        Ok(if self.left == 0 { MaskState::Complete } else { MaskState::Open })
    }
}
