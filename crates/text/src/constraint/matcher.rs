//! What may come next in one answer.

use std::sync::Arc;

use llguidance::Matcher;

use super::ConstraintError;
use crate::{EncodeOptions, Tokenizer};

/// Tokens of white space that may stand between the end of reasoning and the constrained part.
const SPACES: usize = 4;

/// Follows one answer and knows which tokens may come next. Clones share what they learn about the grammar.
#[derive(Clone)]
pub struct ConstraintMatcher {
    matcher: Matcher,
    place: Place,
    fresh: Arc<Fresh>,
}

/// What the model's vocabulary tells of the part before the constraint holds.
pub(super) struct Fresh {
    tokenizer: Arc<Tokenizer>,
    /// Tokens that are nothing but white space.
    spaces: Vec<u32>,
}

#[derive(Clone)]
enum Place {
    /// Before one of these texts; anything may come.
    Before { ends: Vec<String>, text: Vec<u8> },
    /// After it; so many tokens of white space may come.
    Space(usize),
    /// Where the constraint holds.
    Within,
}

impl Fresh {
    pub(super) fn new(tokenizer: &Arc<Tokenizer>) -> Fresh {
        let blank = |id: &u32| {
            let bytes = tokenizer.bytes(*id);
            !bytes.is_empty() && bytes.len() <= 8 && bytes.iter().all(|byte| b" \t\r\n".contains(byte))
        };
        let size = u32::try_from(tokenizer.vocab()).unwrap_or(u32::MAX);
        Fresh { spaces: (0..size).filter(blank).collect(), tokenizer: Arc::clone(tokenizer) }
    }

    /// What a token writes, control tokens included.
    fn written(&self, token: u32) -> &[u8] {
        let bytes = self.tokenizer.bytes(token);
        if bytes.is_empty() { self.tokenizer.piece(token).unwrap_or_default().as_bytes() } else { bytes }
    }
}

impl ConstraintMatcher {
    pub(super) fn new(matcher: Matcher, fresh: Arc<Fresh>) -> ConstraintMatcher {
        ConstraintMatcher { matcher, place: Place::Within, fresh }
    }

    /// The same, for an answer whose constrained part begins after one of the texts `ends`, if there are any.
    #[must_use]
    pub fn after(mut self, ends: &[&str]) -> ConstraintMatcher {
        let ends: Vec<String> = ends.iter().map(|&end| end.to_owned()).collect();
        self.place = if ends.is_empty() { Place::Within } else { Place::Before { ends, text: Vec::new() } };
        self
    }

    /// Sets the bits of the tokens that may come next, 32 tokens a word, lowest bit first, and clears the others.
    ///
    /// # Errors
    /// If the constraint takes too much work at this place.
    pub fn fill(&mut self, words: &mut [u32]) -> Result<(), ConstraintError> {
        if let Place::Before { .. } = self.place {
            words.fill(u32::MAX);
            return Ok(());
        }
        let mask = self.matcher.compute_mask_or_eos().map_err(failed)?;
        let known = mask.as_slice().len().min(words.len());
        words[..known].copy_from_slice(&mask.as_slice()[..known]);
        words[known..].fill(0);
        if let Place::Space(1..) = self.place {
            let inside = |token: &&u32| (**token as usize) < 32 * words.len();
            let spaces: Vec<u32> = self.fresh.spaces.iter().filter(inside).copied().collect();
            spaces.iter().for_each(|&token| words[token as usize / 32] |= 1 << (token % 32));
        }
        Ok(())
    }

    /// Takes the token that was chosen; true if nothing can follow it.
    ///
    /// # Errors
    /// If the token does not fit.
    pub fn accept(&mut self, token: u32) -> Result<bool, ConstraintError> {
        match &mut self.place {
            Place::Within => self.matcher.consume_token(token).map_err(failed)?,
            Place::Space(left) => {
                let left = *left;
                if self.matcher.try_consume_tokens(&[token]).map_err(failed)? == 1 {
                    self.place = Place::Within;
                } else if left > 0 && self.fresh.spaces.contains(&token) {
                    self.place = Place::Space(left - 1);
                } else {
                    return Err(ConstraintError::new("", format!("the token {token} does not fit")));
                }
            }
            Place::Before { ends, text } => {
                text.extend_from_slice(self.fresh.written(token));
                if let Some(rest) = after_end(ends, text) {
                    self.place = Place::Space(SPACES);
                    self.begin(&rest)?;
                }
            }
        }
        Ok(matches!(self.place, Place::Within) && self.matcher.is_stopped())
    }

    /// The tokens that come next whatever the model would say, as it was trained to write them; none where it has a choice.
    /// Each has yet to be accepted.
    pub fn forced(&mut self) -> Vec<u32> {
        match self.place {
            Place::Within => self.matcher.compute_ff_tokens(),
            Place::Before { .. } | Place::Space(_) => Vec::new(),
        }
    }

    /// The token with which reasoning ended went on with `rest`.
    fn begin(&mut self, rest: &[u8]) -> Result<(), ConstraintError> {
        let rest = String::from_utf8_lossy(rest);
        let options = EncodeOptions { add_special: false, parse_special: false };
        let tokens = self.fresh.tokenizer.encode(rest.trim_start(), options);
        if !tokens.is_empty() {
            self.matcher.consume_tokens(&tokens).map_err(failed)?;
            self.place = Place::Within;
        }
        Ok(())
    }
}

/// What follows the first of `ends` in `text`; without one, all of `text` is dropped that cannot begin one.
fn after_end(ends: &[String], text: &mut Vec<u8>) -> Option<Vec<u8>> {
    let found = |end: &String| Some(text.windows(end.len()).position(|part| part == end.as_bytes())? + end.len());
    if let Some(at) = ends.iter().filter_map(found).min() {
        return Some(text.split_off(at));
    }
    let longest = ends.iter().map(String::len).max().unwrap_or(0);
    text.drain(..text.len().saturating_sub(longest));
    None
}

fn failed(error: impl ToString) -> ConstraintError {
    let message = error.to_string();
    ConstraintError::new("", message.split("\n<").next().unwrap_or_default())
}
