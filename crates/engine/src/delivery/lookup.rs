//! Drafts the next tokens of a sequence from what it has already: the tokens that followed the same few the last time ("prompt lookup
//! decoding", Saxena 2023). Code that is edited and text that is quoted come again nearly word for word.

use std::collections::HashMap;
use std::ops::Range;

use crate::Draft;

/// Tokens that have to be the same for what followed them to be a draft.
const SAME: usize = 3;

/// How much an older comparison counts beside the next newer one.
const FORGETTING: f64 = 0.9;

/// What is expected of drafts before any was compared, as comparisons: one of two tokens is right.
const AT_FIRST: (f64, f64) = (1.0, 2.0);

/// A place in what is expected, or in the sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Expected(u32),
    Own(u32),
}

/// The draft of a sequence, and how good its drafts have been.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Where tokens that came after each `SAME` tokens begin, the last time.
    after: HashMap<[u32; SAME], Place>,
    /// Tokens from the front that `after` knows the beginnings of.
    known: usize,
    /// Tokens from the front of the answer that are as expected.
    as_expected: usize,
    tokens: Vec<u32>,
    /// The rows of output that the batch has for the draft's tokens.
    pub(super) rows: Range<usize>,
    /// Tokens of drafts that were right, and those that were compared; old ones count less.
    right: f64,
    compared: f64,
}

impl Default for Lookup {
    fn default() -> Lookup {
        let (right, compared) = AT_FIRST;
        Lookup { after: HashMap::new(), known: 0, as_expected: 0, tokens: Vec::new(), rows: 0..0, right, compared }
    }
}

impl Lookup {
    /// Drafts `most` tokens at most that may follow `tokens`, of which so many are the prompt. An answer that is as expected goes on so.
    pub(super) fn draft(&mut self, (tokens, prompt): (&[u32], usize), expected: &[u32], most: usize) {
        self.tokens.clear();
        self.rows = 0..0;
        self.index((tokens, prompt), expected);
        let answer = &tokens[prompt..];
        self.as_expected += same(&answer[self.as_expected..], expected.get(self.as_expected..).unwrap_or_default());
        if self.as_expected == answer.len() {
            self.tokens.extend(expected[answer.len()..].iter().take(most));
        } else if let Some(place) = tokens.last_chunk().and_then(|same| self.after.get(same)) {
            match *place {
                Place::Expected(from) => self.tokens.extend(expected[from as usize..].iter().take(most)),
                // What repeats goes round.
                Place::Own(from) => self.tokens.extend(tokens[from as usize..].iter().cycle().take(most)),
            }
        }
    }

    /// Takes note of where things are: in the prompt, in what is expected, in the answer so far.
    fn index(&mut self, (tokens, prompt): (&[u32], usize), expected: &[u32]) {
        while self.known + SAME < tokens.len() {
            // After the prompt, that the answer counts more.
            if self.known + SAME == prompt.max(SAME) {
                self.learn_all(expected, Place::Expected);
            }
            let same = tokens[self.known..].first_chunk();
            same.map(|same| self.after.insert(*same, Place::Own((self.known + SAME) as u32)));
            self.known += 1;
        }
    }

    fn learn_all(&mut self, text: &[u32], place: fn(u32) -> Place) {
        let windows = text.array_windows::<SAME>().zip(SAME as u32..);
        self.after.extend(windows.take(text.len().saturating_sub(SAME)).map(|(same, next)| (*same, place(next))));
    }

    /// What it has drafted for the next step; `None` if nothing.
    pub(super) fn offer(&self) -> Option<Draft> {
        let acceptance = (self.right / self.compared).min(0.99);
        (!self.tokens.is_empty()).then_some(Draft { tokens: self.tokens.len(), acceptance })
    }

    /// The first tokens of the draft.
    pub(super) fn first(&self, tokens: usize) -> &[u32] {
        &self.tokens[..tokens]
    }

    /// How many tokens from the front are as drafted.
    pub(super) fn right(&self, tokens: &[u32]) -> usize {
        same(&self.tokens, tokens)
    }

    /// Takes note of what came, whether the draft was computed or not.
    pub(super) fn learn(&mut self, came: &[u32]) {
        let right = self.right(came);
        let wrong = usize::from(right < came.len().min(self.tokens.len()));
        if right + wrong > 0 {
            self.right = FORGETTING * self.right + right as f64;
            self.compared = FORGETTING * self.compared + (right + wrong) as f64;
        }
        self.tokens.clear();
    }
}

/// How many tokens from the front are the same.
fn same(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After this prompt and this answer, these are drafted, if these were expected.
    fn check((prompt, answer): (&[u32], &[u32]), expected: &[u32], most: usize, drafted: &[u32]) {
        let (mut lookup, tokens) = (Lookup::default(), [prompt, answer].concat());
        // It makes no difference how the tokens came.
        for end in [prompt.len(), prompt.len() + answer.len() / 2, tokens.len()] {
            lookup.draft((&tokens[..end], prompt.len()), expected, most);
        }
        assert_eq!(lookup.tokens, drafted, "after {tokens:?}, expecting {expected:?}");
        assert_eq!(lookup.offer().map(|draft| draft.tokens), (!drafted.is_empty()).then_some(drafted.len()));
    }

    #[test]
    fn what_followed_before_is_drafted() {
        check((&[1], &[]), &[], 4, &[]);
        check((&[1, 2], &[3]), &[], 4, &[]);
        check((&[1, 2, 3, 4, 1, 2], &[4]), &[], 4, &[]);
        check((&[1, 2, 3, 4, 5, 6], &[1, 2, 3]), &[], 2, &[4, 5]);
        check((&[1, 2, 3, 4, 5, 6], &[1, 2, 3]), &[], 0, &[]);
        // The last time counts.
        check((&[1, 2, 3, 4, 1, 2, 3, 5], &[1, 2, 3]), &[], 3, &[5, 1, 2]);
        check((&[7], &[7, 7, 7]), &[], 4, &[7, 7, 7, 7]);
        check((&[1, 2, 1, 2], &[1]), &[], 3, &[2, 1, 2]);
    }

    #[test]
    fn what_is_expected_is_drafted() {
        check((&[1], &[]), &[4, 5, 6], 2, &[4, 5]);
        check((&[1], &[4]), &[4, 5, 6], 4, &[5, 6]);
        check((&[1], &[4, 5, 6]), &[4, 5, 6], 4, &[]);
        check((&[1], &[4, 9]), &[4, 5, 6], 4, &[]);
        // It goes on where the answer is like it again.
        check((&[1], &[9, 4, 5, 6]), &[3, 4, 5, 6, 7, 8], 4, &[7, 8]);
        // It counts more than the prompt, and less than the answer.
        check((&[4, 5, 6, 1, 1], &[9, 4, 5, 6]), &[3, 4, 5, 6, 7, 8], 1, &[7]);
        check((&[1], &[9, 4, 5, 6, 2, 4, 5, 6]), &[3, 4, 5, 6, 7, 8], 1, &[2]);
    }

    #[test]
    fn drafts_that_fail_are_offered_as_such() {
        let acceptance = |came: &[u32], times: usize| {
            let (mut lookup, tokens) = (Lookup::default(), [1, 2, 3, 4, 5, 6, 1, 2, 3]);
            for _ in 0..times {
                lookup.draft((&tokens, 6), &[], 3);
                lookup.learn(came);
            }
            lookup.draft((&tokens, 6), &[], 3);
            lookup.offer().map(|draft| draft.acceptance)
        };
        assert_eq!(acceptance(&[], 9), Some(0.5));
        assert!(acceptance(&[4, 5, 6, 9], 9) > Some(0.9));
        assert!(acceptance(&[9], 9) < Some(0.1));
        assert_eq!(acceptance(&[4, 9], 99).map(|share| (100.0 * share).round()), Some(50.0));
    }
}
