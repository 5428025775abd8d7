//! Which tokens may come next in a continuation: the interface of grammars, schemas and choices.

/// Decides which tokens a continuation may have, from those it has. Each continuation has its own.
///
/// A mask is told of a token once, even if the sequence is preempted and computed again, and never of a stop token, which
/// ends the continuation anyway. A mask that fails or panics ends its continuation and nothing else.
pub trait TokenMask: Send {
    /// Allows in `allowed`, which comes empty, the tokens that may come next; stop tokens too, where the continuation may
    /// end. It may be asked twice for the same position.
    ///
    /// # Errors
    /// If that cannot be found out.
    fn fill(&mut self, allowed: &mut TokenSet) -> Result<(), MaskError>;

    /// Takes the chosen token.
    ///
    /// # Errors
    /// If the token does not fit.
    fn accept(&mut self, token: u32) -> Result<MaskState, MaskError>;

    /// Tokens that can only come next, in order: they are appended without being chosen, and computed together. Asked after
    /// each token that was chosen and leaves the continuation open; each is then told by [`TokenMask::accept`].
    ///
    /// # Errors
    /// If that cannot be found out.
    fn forced(&mut self) -> Result<Vec<u32>, MaskError> {
        Ok(Vec::new())
    }
}

/// Whether a continuation may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskState {
    /// There may be more tokens.
    Open,
    /// The continuation ends here.
    Complete,
}

/// The mask cannot say what may come next; the continuation ends with this error.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the token mask failed: {0}")]
pub struct MaskError(pub String);

/// A set of tokens: a bit for each of the vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet {
    words: Vec<u32>,
    vocab: usize,
}

impl TokenSet {
    /// An empty set for a vocabulary of `vocab` tokens.
    pub fn new(vocab: usize) -> TokenSet {
        let mut set = TokenSet::default();
        set.reset(vocab);
        set
    }

    /// Empties it and makes it fit a vocabulary.
    pub(crate) fn reset(&mut self, vocab: usize) {
        self.words.clear();
        self.words.resize(vocab.div_ceil(32), 0);
        self.vocab = vocab;
    }

    /// Tokens of the vocabulary.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Adds a token; one outside the vocabulary is passed over.
    pub fn allow(&mut self, token: u32) {
        if (token as usize) < self.vocab {
            self.words[token as usize / 32] |= 1 << (token % 32);
        }
    }

    /// Adds every token.
    pub fn allow_all(&mut self) {
        self.words.fill(u32::MAX);
    }

    /// The bits, 32 tokens a word, lowest bit first, to be filled at once. Bits past the vocabulary mean nothing.
    pub fn words_mut(&mut self) -> &mut [u32] {
        &mut self.words
    }

    /// Whether it has a token.
    pub fn contains(&self, token: u32) -> bool {
        (token as usize) < self.vocab && self.words[token as usize / 32] >> (token % 32) & 1 == 1
    }

    /// Whether it has no token.
    pub fn is_empty(&self) -> bool {
        let rest = self.vocab % 32;
        let last = if rest == 0 { u32::MAX } else { (1 << rest) - 1 };
        let Some((tail, whole)) = self.words.split_last() else { return true };
        whole.iter().all(|word| *word == 0) && tail & last == 0
    }

    /// Sets the logits of all other tokens to minus infinity.
    pub(crate) fn restrict(&self, row: &mut [f32]) {
        let (known, unknown) = row.split_at_mut(self.vocab.min(row.len()));
        unknown.fill(f32::NEG_INFINITY);
        for (logits, &word) in known.chunks_mut(32).zip(&self.words) {
            match word {
                u32::MAX => {}
                0 => logits.fill(f32::NEG_INFINITY),
                _ => restrict(logits, word),
            }
        }
    }
}

fn restrict(logits: &mut [f32], word: u32) {
    for (i, logit) in logits.iter_mut().enumerate() {
        *logit = if word >> i & 1 == 1 { *logit } else { f32::NEG_INFINITY };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_it_was_given_and_restricts_logits_to_it() {
        for vocab in [0, 1, 31, 32, 33, 64, 100] {
            let mut set = TokenSet::new(vocab);
            let mut allowed = Vec::new();
            assert!(set.is_empty());
            for token in [5, 31, 32, 99, 100, u32::MAX] {
                set.allow(token);
                allowed.extend(((token as usize) < vocab).then_some(token));
                assert_eq!(set.is_empty(), allowed.is_empty(), "{token} of {vocab}");
            }
            let mut row = vec![1.0; vocab + 3];
            set.restrict(&mut row);
            for (token, logit) in row.iter().enumerate() {
                let inside = allowed.contains(&(token as u32));
                assert_eq!((set.contains(token as u32), *logit > 0.0), (inside, inside), "{token} of {vocab}");
            }
            set.allow_all();
            assert!((0..vocab as u32).all(|token| set.contains(token)) && !set.contains(vocab as u32));
            set.reset(vocab);
            // Bits past the vocabulary mean nothing.
            set.words_mut().iter_mut().for_each(|word| *word = 0);
            if let Some(last) = set.words_mut().last_mut().filter(|_| vocab % 32 > 0) {
                *last = 1 << (vocab % 32);
            }
            assert!(set.is_empty(), "{vocab}");
        }
    }
}
