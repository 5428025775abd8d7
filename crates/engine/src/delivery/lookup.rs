//! Drafts the next tokens of a sequence from what it has already: the tokens that followed the same few the last time ("prompt lookup
//! decoding", Saxena 2023). Code that is edited and text that is quoted come again nearly word for word.

use std::collections::HashMap;

use super::drafts::same;

/// Tokens that have to be the same for what followed them to be a draft.
const SAME: usize = 3;

/// A place in what is expected, or in the sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Expected(u32),
    Own(u32),
}

/// Where the tokens of a sequence come again.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// Where tokens that came after each `SAME` tokens begin, the last time.
    after: HashMap<[u32; SAME], Place>,
    /// Tokens from the front that `after` knows the beginnings of.
    known: usize,
    /// Tokens from the front of the answer that are as expected.
    as_expected: usize,
}

impl Lookup {
    /// Drafts `most` tokens at most that may follow `tokens`, of which so many are the prompt. An answer that is as expected goes on so.
    pub(super) fn draft(
        &mut self,
        (tokens, prompt): (&[u32], usize),
        expected: &[u32],
        most: usize,
        draft: &mut Vec<u32>,
    ) {
        draft.clear();
        self.index((tokens, prompt), expected);
        let answer = &tokens[prompt..];
        self.as_expected += same(&answer[self.as_expected..], expected.get(self.as_expected..).unwrap_or_default());
        if self.as_expected == answer.len() {
            draft.extend(expected[answer.len()..].iter().take(most));
        } else if let Some(place) = tokens.last_chunk().and_then(|same| self.after.get(same)) {
            match *place {
                Place::Expected(from) => draft.extend(expected[from as usize..].iter().take(most)),
                // What repeats goes round.
                Place::Own(from) => draft.extend(tokens[from as usize..].iter().cycle().take(most)),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After this prompt and this answer, these are drafted, if these were expected.
    fn check((prompt, answer): (&[u32], &[u32]), expected: &[u32], most: usize, drafted: &[u32]) {
        let (mut lookup, mut draft, tokens) = (Lookup::default(), vec![], [prompt, answer].concat());
        // It makes no difference how the tokens came.
        for end in [prompt.len(), prompt.len() + answer.len() / 2, tokens.len()] {
            lookup.draft((&tokens[..end], prompt.len()), expected, most, &mut draft);
        }
        assert_eq!(draft, drafted, "after {tokens:?}, expecting {expected:?}");
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
}
