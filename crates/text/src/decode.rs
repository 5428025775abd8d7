//! Streaming decode: tokens in, whole UTF-8 out.

use std::sync::Arc;

use crate::Tokenizer;

/// Turns tokens into text as they come; holds back bytes that do not yet form a whole character.
pub struct StreamDecoder {}

impl StreamDecoder {
    /// Decodes the continuation of a prompt. A leading space of the first token is kept unless the tokenizer adds one to
    /// every text (SentencePiece) and the continuation is not `after` anything.
    pub fn new(tokenizer: Arc<Tokenizer>) -> StreamDecoder {
        let _ = tokenizer;
        todo!()
    }

    /// The text that `id` completes; may be empty.
    pub fn push(&mut self, id: u32) -> String {
        let _ = id;
        todo!()
    }

    /// What is left at the end: an incomplete character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        todo!()
    }
}
