//! Streaming decode: tokens in, whole UTF-8 out.

use std::sync::Arc;

use crate::Tokenizer;

/// Turns tokens into text as they come; holds back bytes that do not yet form a whole character.
///
/// All it gives, put together, is what the tokens' bytes say (control tokens say nothing).
///
/// ```
/// use std::sync::Arc;
/// use text::{GgufVocab, StreamDecoder, Tokenizer};
///
/// // `Ã` and `©` stand for the two bytes of é.
/// let tokens = ["a", "Ã", "©"].map(|piece| piece.as_bytes().to_vec()).to_vec();
/// let vocab = GgufVocab { model: "gpt2".into(), tokens, merges: vec![b"a b".to_vec()], ..GgufVocab::default() };
/// let mut decoder = StreamDecoder::new(Arc::new(Tokenizer::from_gguf(vocab)?));
/// assert_eq!([0, 1, 2].map(|id| decoder.push(id)), ["a", "", "é"]);
/// # Ok::<(), text::TokenizerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    tokenizer: Arc<Tokenizer>,
    held: Vec<u8>,
    start: bool,
}

impl StreamDecoder {
    /// Decodes what follows a prompt with text in it: all spaces are kept.
    pub fn new(tokenizer: Arc<Tokenizer>) -> StreamDecoder {
        StreamDecoder { tokenizer, held: Vec::new(), start: false }
    }

    /// Decodes what follows the tokens `prompt`. If they have no text (none at all, or only a begin token) this is where
    /// the text starts, and the space that the tokenizer puts before every text (SentencePiece) is taken away, as
    /// [`Tokenizer::decode`] does.
    pub fn after(tokenizer: Arc<Tokenizer>, prompt: &[u32]) -> StreamDecoder {
        let start = tokenizer.adds_space() && prompt.iter().all(|id| tokenizer.bytes(*id).is_empty());
        StreamDecoder { tokenizer, held: Vec::new(), start }
    }

    /// The text that `id` completes; may be empty.
    pub fn push(&mut self, id: u32) -> String {
        let bytes = self.tokenizer.bytes(id);
        let stripped = if self.start { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes };
        self.start &= bytes.is_empty();
        self.held.extend_from_slice(stripped);
        self.whole()
    }

    /// What is left at the end: an incomplete character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }

    /// All that is held but for the beginning of a character at its end; bytes that can never become one are U+FFFD.
    fn whole(&mut self) -> String {
        let mut text = String::new();
        let mut rest = self.held.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.held.clear();
                    return text;
                }
                Err(e) => {
                    let (whole, broken) = rest.split_at(e.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(whole));
                    let Some(bad) = e.error_len() else {
                        self.held = broken.to_vec();
                        return text;
                    };
                    text.push('\u{FFFD}');
                    rest = &broken[bad..];
                }
            }
        }
    }
}
