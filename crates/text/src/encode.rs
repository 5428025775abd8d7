//! The seam between texts and tokens: what makes tokens of texts, in this process or in another.

use std::fmt;

use crate::{ChatPrompt, EncodeOptions, Tokenizer};

/// No tokens were made: what makes them is elsewhere, and does not answer as it should. The text says what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(pub String);

/// Makes tokens of texts. A [`Tokenizer`] does it in this process and never fails; another one may ask elsewhere. Whoever does, the ids
/// are those of the model's vocabulary: turning them back into text is a look into its table, and never leaves the process.
pub trait Encode: fmt::Debug + Send + Sync {
    /// Token ids of a text.
    ///
    /// # Errors
    /// If what makes them cannot be asked.
    fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, EncodeError>;

    /// Token ids of a rendered conversation; see [`Tokenizer::encode_chat`].
    ///
    /// # Errors
    /// If what makes them cannot be asked.
    fn encode_chat(&self, prompt: &ChatPrompt) -> Result<Vec<u32>, EncodeError>;
}

/// Texts from so many bytes on are long: to make their tokens takes a millisecond or more.
const LONG: usize = 1 << 14;

impl Tokenizer {
    /// Long texts are made by the tokenizer's own threads, which are few.
    fn with_threads(&self, bytes: usize, work: impl FnOnce(&Tokenizer) -> Vec<u32> + Send) -> Vec<u32> {
        if bytes < LONG { work(self) } else { self.in_turn(work) }
    }
}

impl Encode for Tokenizer {
    fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, EncodeError> {
        Ok(self.with_threads(text.len(), |tokenizer| Tokenizer::encode(tokenizer, text, options)))
    }

    fn encode_chat(&self, prompt: &ChatPrompt) -> Result<Vec<u32>, EncodeError> {
        Ok(self.with_threads(prompt.text().len(), |tokenizer| Tokenizer::encode_chat(tokenizer, prompt)))
    }
}
