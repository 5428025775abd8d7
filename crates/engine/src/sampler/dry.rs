//! DRY, a guard against repetition: what would prolong a sequence of tokens that was there before is made less likely, the
//! more the longer it is. As llama.cpp defines it (there after KoboldCpp, by pi6am).

use std::collections::HashMap;
use std::sync::Arc;

use super::{Draw, Sampler};

/// What DRY does.
#[derive(Clone, Debug, PartialEq)]
pub struct Dry {
    /// Times `base` to the power of what a repetition has too much is taken off a logit; 0 is off.
    pub multiplier: f32,
    /// How fast that grows with each token.
    pub base: f32,
    /// Repetitions up to this many tokens are free.
    pub allowed_length: usize,
    /// Tokens of prompt and answer that are looked at, from the end.
    pub last: usize,
    /// What a repetition does not reach across.
    pub breakers: Arc<Breakers>,
}

/// Token sequences that end a repetition, by their first token: what else has to follow, nothing for most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breakers(HashMap<u32, Vec<Vec<u32>>>);

impl Breakers {
    /// No breakers.
    pub fn new() -> Breakers {
        Breakers::default()
    }

    /// Adds a sequence: its first token and those after it.
    pub fn add(&mut self, first: u32, rest: Vec<u32>) {
        let rests = self.0.entry(first).or_default();
        if !rests.contains(&rest) {
            rests.push(rest);
        }
    }

    /// Whether `token` is one by itself.
    fn is_alone(&self, token: u32) -> bool {
        self.0.get(&token).is_some_and(|rests| rests.iter().any(Vec::is_empty))
    }

    /// How many tokens there are after the last breaker. `back` are tokens, the last first.
    fn since_last(&self, back: &[u32]) -> usize {
        let longest = |at: usize| {
            let follows = |rest: &&Vec<u32>| {
                rest.len() <= at && rest.iter().enumerate().all(|(i, token)| back[at - i - 1] == *token)
            };
            self.0.get(&back[at])?.iter().filter(follows).map(Vec::len).max()
        };
        (0..back.len()).find_map(|at| longest(at).map(|rest| at - rest)).unwrap_or(back.len())
    }
}

/// The greatest power that a number of 32 bits can hold, as a logarithm.
const LARGEST: f32 = 88.722_84;

impl Sampler {
    /// Makes tokens less likely that prolong a repetition.
    pub(super) fn dry(&mut self, dry: &Dry, draw: &Draw<'_>) {
        if dry.multiplier == 0.0 || dry.base < 1.0 {
            return;
        }
        self.back.clear();
        self.back.extend(draw.prompt.iter().chain(draw.answer).rev().take(dry.last));
        if self.back.len() <= dry.allowed_length {
            return;
        }
        let limit = dry.breakers.since_last(&self.back);
        if limit < dry.allowed_length {
            return;
        }
        repetitions(&self.back, &mut self.lengths);
        self.longest.clear();
        for (at, &length) in self.lengths.iter().enumerate().skip(1) {
            let length = length.min(limit);
            if length >= dry.allowed_length {
                // The token that came after the earlier one would prolong it.
                let longest = self.longest.entry(self.back[at - 1]).or_insert(length);
                *longest = length.max(*longest);
            }
        }
        let most = if dry.base > 1.000_001 { LARGEST / dry.base.ln() } else { f32::INFINITY };
        for (&token, &length) in self.longest.iter().filter(|(token, _)| !dry.breakers.is_alone(**token)) {
            let power = ((length - dry.allowed_length) as f32).min(most.floor());
            if let Some(logit) = self.row.get_mut(token as usize) {
                *logit -= dry.multiplier * dry.base.powf(power);
            }
        }
    }
}

/// For each place how many tokens from there on are those from the beginning on (Z-algorithm, O(n)).
fn repetitions(tokens: &[u32], lengths: &mut Vec<usize>) {
    lengths.clear();
    lengths.resize(tokens.len(), 0);
    // The stretch that ends furthest of those that repeat the beginning.
    let (mut start, mut end) = (0, 0);
    for at in 1..tokens.len() {
        let mut length = if at < end { lengths[at - start].min(end - at) } else { 0 };
        while at + length < tokens.len() && tokens[length] == tokens[at + length] {
            length += 1;
        }
        lengths[at] = length;
        if at + length > end {
            (start, end) = (at, at + length);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SamplingParams;

    proptest! {
        #[test]
        fn repetitions_are_what_they_are(tokens in prop::collection::vec(0u32..3, 0..40)) {
            let mut lengths = Vec::new();
            repetitions(&tokens, &mut lengths);
            for at in 1..tokens.len() {
                let plain = tokens.iter().zip(&tokens[at..]).take_while(|(a, b)| a == b).count();
                prop_assert_eq!(lengths[at], plain, "{} in {:?}", at, tokens);
            }
        }
    }

    /// What is taken off the logits of 10 tokens.
    fn check(history: &[u32], allowed_length: usize, breakers: &[&[u32]], expected: &[(usize, f32)]) {
        let mut all = Breakers::new();
        breakers.iter().for_each(|breaker| all.add(breaker[0], breaker[1..].to_vec()));
        let dry = Dry { multiplier: 1.0, base: 2.0, allowed_length, last: 100, breakers: Arc::new(all) };
        let (prompt, answer) = history.split_at(history.len() / 2);
        let draw = Draw { prompt, answer, banned: &[], allowed: None, seed: 0 };
        let mut sampler = Sampler::new();
        let params = SamplingParams { dry: Some(dry), ..SamplingParams::default() };
        sampler.adjust(&[0.0; 10], &params, &draw).expect("finite");
        let mut row = [0.0; 10];
        expected.iter().for_each(|(token, penalty)| row[*token] = -penalty);
        assert_eq!(sampler.row, row, "{history:?}");
    }

    #[test]
    fn what_prolongs_a_repetition_is_made_less_likely() {
        // The longest of two repetitions counts.
        check(&[1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 2, &[], &[(4, 2.0), (5, 1.0)]);
        check(&[1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 3, &[], &[(4, 1.0)]);
        check(&[1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 4, &[], &[]);
        check(&[1, 2], 2, &[], &[]);
        check(&[7; 6], 1, &[], &[(7, 16.0)]);
    }

    #[test]
    fn breakers_end_a_repetition() {
        check(&[1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 2, &[&[1]], &[(4, 1.0), (5, 1.0)]);
        check(&[1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 2, &[&[3]], &[]);
        check(&[1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 2, &[&[5, 1]], &[(4, 1.0), (5, 1.0)]);
        check(&[1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 2, &[&[4, 9], &[5]], &[(4, 2.0)]);
    }
}
