//! From token events to pieces of text, for a blocking and for an async reader.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::{FinishReason, TokenEvent};
use text::{StopStrings, StreamDecoder};

use crate::Error;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// More text, whole characters.
    Text(String),
    /// The end, once, last.
    Ended(Ended),
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// Tokens in the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub generated_tokens: usize,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The model ended it, or a stop string was found.
    Stop,
    /// `max_tokens` or the context was reached.
    Length,
    /// The engine was stopped.
    Aborted,
}

/// What both readers share: the text pipeline and the pieces that are ready.
pub(crate) struct Pieces {
    decoder: StreamDecoder,
    stops: StopStrings,
    /// They end the answer and have no text.
    end_tokens: Arc<[u32]>,
    ready: VecDeque<Result<Piece, Error>>,
    prompt_tokens: usize,
    generated_tokens: usize,
    done: bool,
}

impl Pieces {
    pub(crate) fn new(
        decoder: StreamDecoder,
        stops: StopStrings,
        end_tokens: Arc<[u32]>,
        prompt_tokens: usize,
    ) -> Pieces {
        let (ready, generated_tokens) = (VecDeque::new(), 0);
        Pieces { decoder, stops, end_tokens, ready, prompt_tokens, generated_tokens, done: false }
    }

    pub(crate) fn take(&mut self) -> Option<Result<Piece, Error>> {
        self.ready.pop_front()
    }

    pub(crate) fn feed(&mut self, event: Option<TokenEvent>) {
        let finish = match event {
            Some(TokenEvent::Token(token)) => return self.token(token.id),
            Some(TokenEvent::Finished(finish)) => finish.reason,
            None => FinishReason::Failed("it ended before the answer did".into()),
        };
        let rest = self.decoder.finish();
        if self.text(&rest) {
            return self.ended(EndReason::Stop);
        }
        let held = self.stops.finish();
        self.show(held);
        match finish {
            FinishReason::Stop(_) | FinishReason::Complete => self.ended(EndReason::Stop),
            FinishReason::Length => self.ended(EndReason::Length),
            FinishReason::Aborted | FinishReason::Cancelled => self.ended(EndReason::Aborted),
            FinishReason::Failed(why) => self.end(Err(Error::Engine(why.to_string()))),
        }
    }

    fn token(&mut self, id: u32) {
        self.generated_tokens += 1;
        if self.end_tokens.contains(&id) {
            return;
        }
        let text = self.decoder.push(id);
        if self.text(&text) {
            self.ended(EndReason::Stop);
        }
    }

    /// Takes decoded text; true if a stop string was found in it.
    fn text(&mut self, text: &str) -> bool {
        let (certain, stopped) = self.stops.push(text);
        self.show(certain);
        stopped
    }

    fn show(&mut self, text: String) {
        if !text.is_empty() {
            self.ready.push_back(Ok(Piece::Text(text)));
        }
    }

    fn ended(&mut self, reason: EndReason) {
        let Pieces { prompt_tokens, generated_tokens, .. } = *self;
        self.end(Ok(Piece::Ended(Ended { reason, prompt_tokens, generated_tokens })));
    }

    fn end(&mut self, last: Result<Piece, Error>) {
        self.ready.push_back(last);
        self.done = true;
    }
}

/// The pieces of an answer, blocking.
pub struct TextIter {
    pub(crate) receiver: engine::TokenReceiver,
    pub(crate) pieces: Pieces,
}

impl Iterator for TextIter {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.pieces.take() {
                None if !self.pieces.done => self.pieces.feed(self.receiver.next()),
                piece => return piece,
            }
        }
    }
}

/// The pieces of an answer, async.
pub struct TextStream {
    pub(crate) receiver: serve::TokenReceiver,
    pub(crate) pieces: Pieces,
}

impl TextStream {
    /// Tokens of the prompt, and tokens generated up to what was read last.
    pub fn tokens(&self) -> (usize, usize) {
        (self.pieces.prompt_tokens, self.pieces.generated_tokens)
    }

    /// The next piece; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<Piece, Error>> {
        loop {
            match self.pieces.take() {
                None if !self.pieces.done => self.pieces.feed(self.receiver.recv().await),
                piece => return piece,
            }
        }
    }
}
