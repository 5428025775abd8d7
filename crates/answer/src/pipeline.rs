//! Tokens to parts of an answer: streaming decode, then stop strings, then the model's dialect, with each token's
//! log-probability kept beside the text that it became.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::SampledToken;
use text::{Parser, Part, StopStrings, StreamDecoder, Tokenizer};

/// A token with its log-probability and those of the most likely ones.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: TokenText,
    /// Its log-probability; `None` for the first token of a prompt, which follows nothing.
    pub logprob: Option<f32>,
    /// The most likely ones, best first.
    pub top: Vec<(TokenText, f32)>,
    /// Where it starts in the answer, in characters.
    pub offset: usize,
}

/// A token of a prompt and how likely it was.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptToken {
    /// The token.
    pub token: (u32, TokenText),
    /// Its log-probability; none of the first.
    pub logprob: Option<f32>,
    /// The most likely ones in its place, best first.
    pub top: Vec<(u32, TokenText, f32)>,
}

/// A token for people: its bytes, or the name of a control token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenText(pub Vec<u8>);

/// Which control tokens become text.
#[derive(Clone)]
pub(crate) enum Shown {
    /// All.
    All,
    /// Those that the dialect has to see.
    Markers(Arc<[u32]>),
}

/// What is certain of an answer.
#[derive(Debug, Default)]
pub(crate) struct Released {
    pub(crate) parts: Vec<Part>,
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// A stop string was found: nothing more comes.
    pub(crate) ended: bool,
}

/// Turns a choice's tokens into parts.
pub(crate) struct Pipeline {
    tokenizer: Arc<Tokenizer>,
    decoder: StreamDecoder,
    stops: StopStrings,
    /// Without one all is text.
    parser: Option<Parser>,
    shown: Shown,
    /// Tokens whose text is not out yet, with where it starts (in bytes).
    held: VecDeque<(usize, TokenLogprob)>,
    /// What the decoder gave so far, in bytes and characters; an echoed prompt counts among the characters.
    decoded: (usize, usize),
    /// Bytes given out.
    released: usize,
}

impl Pipeline {
    /// For an answer that follows the tokens `prompt`.
    pub(crate) fn new(
        tokenizer: &Arc<Tokenizer>,
        prompt: &[u32],
        stops: StopStrings,
        parser: Option<Parser>,
        shown: Shown,
    ) -> Pipeline {
        Pipeline {
            decoder: StreamDecoder::after(Arc::clone(tokenizer), prompt),
            tokenizer: Arc::clone(tokenizer),
            stops,
            parser,
            shown,
            held: VecDeque::new(),
            decoded: (0, 0),
            released: 0,
        }
    }

    /// Takes a token and gives what is certain now.
    pub(crate) fn push(&mut self, token: SampledToken) -> Released {
        let text = self.decoder.push(token.id) + self.control(token.id);
        self.hold(token);
        self.pass(&text)
    }

    /// Takes a stop token: it has no text, but the dialect may have to see it.
    pub(crate) fn end_token(&mut self, id: u32) -> Released {
        match &self.shown {
            Shown::Markers(_) => {
                let text = self.control(id).to_owned();
                self.pass(&text)
            }
            Shown::All => Released::default(),
        }
    }

    /// The tokens of the prompt that the answer begins with as `text`, of which all but the first have been scored, with so
    /// many alternatives each.
    pub(crate) fn prompt(
        &mut self,
        text: &str,
        prompt: &[u32],
        (scores, most): (&[SampledToken], usize),
    ) -> Vec<TokenLogprob> {
        let chars = text.chars().count();
        let mut decoder = StreamDecoder::after(Arc::clone(&self.tokenizer), &[]);
        let (mut decoded, mut scores) = (0, scores.iter());
        let entry = |(i, id): (usize, &u32)| {
            let score = if i == 0 { None } else { scores.next() };
            let top = score.map_or(&[][..], |score| &score.top).iter().take(most);
            let top = top.map(|&(id, logprob)| (self.name(id), logprob)).collect();
            let offset = chars.min(decoded);
            decoded += decoder.push(*id).chars().count();
            TokenLogprob { token: self.name(*id), logprob: score.and_then(|score| score.logprob), top, offset }
        };
        let entries = prompt.iter().enumerate().map(entry).collect();
        self.decoded.1 += chars;
        entries
    }

    /// The tokens of a prompt, of which all but the first have been scored, with so many alternatives each.
    pub(crate) fn scored(&self, prompt: &[u32], scores: &[SampledToken], most: usize) -> Vec<PromptToken> {
        let scores = std::iter::once(None).chain(scores.iter().map(Some));
        let entry = |(&id, score): (&u32, Option<&SampledToken>)| PromptToken {
            token: (id, self.name(id)),
            logprob: score.and_then(|score| score.logprob),
            top: score
                .map_or(&[][..], |score| &score.top)
                .iter()
                .take(most)
                .map(|&(id, p)| (id, self.name(id), p))
                .collect(),
        };
        prompt.iter().zip(scores).map(entry).collect()
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Released {
        let text = self.decoder.finish();
        let mut released = self.pass(&text);
        if !released.ended {
            let rest = self.stops.finish();
            let more = self.release(&rest, false);
            released.parts.extend(more.parts);
            released.logprobs.extend(more.logprobs);
            released.logprobs.extend(self.held.drain(..).map(|(_, entry)| entry));
            released.parts.extend(self.parser.take().map(|mut parser| parser.finish()).unwrap_or_default());
        }
        released
    }

    /// The stop string that was found.
    pub(crate) fn stop(&self) -> Option<&str> {
        self.stops.found()
    }

    /// The text of a control token, if it is shown.
    fn control(&self, id: u32) -> &str {
        let shown = match &self.shown {
            Shown::All => true,
            Shown::Markers(ids) => ids.contains(&id),
        };
        let piece = || self.tokenizer.piece(id).unwrap_or_default();
        if shown && self.tokenizer.bytes(id).is_empty() { piece() } else { "" }
    }

    fn hold(&mut self, token: SampledToken) {
        if token.logprob.is_none() {
            return;
        }
        let top = token.top.iter().map(|&(id, logprob)| (self.name(id), logprob)).collect();
        let (start, offset) = self.decoded;
        self.held.push_back((start, TokenLogprob { token: self.name(token.id), logprob: token.logprob, top, offset }));
    }

    /// Decoded text, past the stop strings.
    fn pass(&mut self, text: &str) -> Released {
        self.decoded.0 += text.len();
        self.decoded.1 += text.chars().count();
        let (certain, stopped) = self.stops.push(text);
        let mut released = self.release(&certain, stopped);
        if stopped {
            released.parts.extend(self.parser.take().map(|mut parser| parser.finish()).unwrap_or_default());
        }
        released
    }

    /// Text goes out with the tokens that begin in it; those that begin in a stop string never do.
    fn release(&mut self, text: &str, ended: bool) -> Released {
        self.released += text.len();
        let count = self.held.iter().take_while(|(start, _)| *start < self.released).count();
        let logprobs = self.held.drain(..count).map(|(_, entry)| entry).collect();
        if ended {
            self.held.clear();
        }
        let parts = match &mut self.parser {
            Some(parser) => parser.push(text),
            None if text.is_empty() => Vec::new(),
            None => vec![Part::Text(text.to_owned())],
        };
        Released { parts, logprobs, ended }
    }

    fn name(&self, id: u32) -> TokenText {
        let bytes = self.tokenizer.bytes(id);
        let name = if bytes.is_empty() { self.tokenizer.piece(id).unwrap_or_default().as_bytes() } else { bytes };
        TokenText(name.to_vec())
    }
}
