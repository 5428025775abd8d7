//! Tokens to text for one choice: streaming decode, then stop strings, with each token's log-probability kept beside the
//! text that it became.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::SampledToken;
use text::{StopStrings, StreamDecoder, Tokenizer};

/// A piece of an answer: text that is certain, and the tokens that it begins with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    /// The text; may be empty.
    pub(crate) text: String,
    /// Its tokens, if log-probabilities were asked for.
    pub(crate) logprobs: Vec<TokenLogprob>,
}

/// A token with its log-probability and those of the most likely ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenLogprob {
    /// The token.
    pub(crate) token: TokenText,
    /// Its log-probability.
    pub(crate) logprob: f32,
    /// The most likely ones, best first.
    pub(crate) top: Vec<(TokenText, f32)>,
    /// Where it starts in the answer, in characters.
    pub(crate) offset: usize,
}

/// A token for people: its bytes, or the name of a control token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenText(pub(crate) Vec<u8>);

/// Turns a choice's tokens into text.
pub(super) struct Pipeline {
    tokenizer: Arc<Tokenizer>,
    decoder: StreamDecoder,
    stops: StopStrings,
    skip_special: bool,
    /// Tokens whose text is not out yet, with where it starts (in bytes).
    held: VecDeque<(usize, TokenLogprob)>,
    /// What the decoder gave so far, in bytes and characters.
    decoded: (usize, usize),
    /// Bytes given out.
    released: usize,
}

impl Pipeline {
    /// For an answer that follows the tokens `prompt`.
    pub(super) fn new(tokenizer: Arc<Tokenizer>, prompt: &[u32], stops: Vec<String>, skip_special: bool) -> Pipeline {
        let decoder = StreamDecoder::after(tokenizer.clone(), prompt);
        let stops = StopStrings::new(stops);
        Pipeline { tokenizer, decoder, stops, skip_special, held: VecDeque::new(), decoded: (0, 0), released: 0 }
    }

    /// Takes a token. Gives what is certain now, and whether a stop string was found: then the piece is the last one.
    pub(super) fn push(&mut self, token: SampledToken) -> (Piece, bool) {
        let mut text = self.decoder.push(token.id);
        if !self.skip_special && self.tokenizer.bytes(token.id).is_empty() {
            text += self.tokenizer.piece(token.id).unwrap_or_default();
        }
        self.hold(token);
        let (text, stopped) = self.filter(text);
        (self.release(text, stopped), stopped)
    }

    /// What is left at the end, and whether a stop string was found in it.
    pub(super) fn finish(&mut self) -> (Piece, bool) {
        let text = self.decoder.finish();
        let (mut text, stopped) = self.filter(text);
        if !stopped {
            text += &self.stops.finish();
        }
        let mut piece = self.release(text, stopped);
        if !stopped {
            piece.logprobs.extend(self.held.drain(..).map(|(_, entry)| entry));
        }
        (piece, stopped)
    }

    fn hold(&mut self, token: SampledToken) {
        let Some(logprob) = token.logprob else { return };
        let top = token.top.iter().map(|&(id, logprob)| (self.name(id), logprob)).collect();
        let (start, offset) = self.decoded;
        self.held.push_back((start, TokenLogprob { token: self.name(token.id), logprob, top, offset }));
    }

    fn filter(&mut self, text: String) -> (String, bool) {
        self.decoded.0 += text.len();
        self.decoded.1 += text.chars().count();
        self.stops.push(&text)
    }

    /// Text goes out with the tokens that begin in it; those that begin in a stop string never do.
    fn release(&mut self, text: String, stopped: bool) -> Piece {
        self.released += text.len();
        let count = self.held.iter().take_while(|(start, _)| *start < self.released).count();
        let logprobs = self.held.drain(..count).map(|(_, entry)| entry).collect();
        if stopped {
            self.held.clear();
        }
        Piece { text, logprobs }
    }

    fn name(&self, id: u32) -> TokenText {
        let bytes = self.tokenizer.bytes(id);
        let name = if bytes.is_empty() { self.tokenizer.piece(id).unwrap_or_default().as_bytes() } else { bytes };
        TokenText(name.to_vec())
    }
}
