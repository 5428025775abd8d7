//! Many prompts at once: the engine computes them together and answers come as they end.

use std::collections::HashMap;
use std::iter::Enumerate;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};

use engine::{SinkState, TokenEvent, TokenSink};

use crate::pieces::{Ended, Piece, Pieces};
use crate::{Error, GenerateOptions, Model};

/// Prompts handed to the engine at most: it has a queue of its own that others may use as well.
const MOST: usize = 512;

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// How it ended.
    pub ended: Ended,
}

impl Model {
    /// Continues every prompt, as many at once as the model was loaded for. Gives the place of a prompt with its answer, in
    /// the order in which they end; an answer is the same whatever runs beside it. Prompts are asked for as there is room.
    pub fn answers<I>(&self, prompts: I) -> Answers<'_, I::IntoIter>
    where
        I: IntoIterator<Item = (String, GenerateOptions)>,
    {
        let (sender, receiver) = channel();
        let prompts = prompts.into_iter().enumerate();
        // Twice what runs: the next prompt is there when an answer ends.
        let at_once = self.streams().saturating_mul(2).min(MOST);
        Answers { model: self, prompts, at_once, open: HashMap::new(), sender, receiver }
    }
}

/// Answers as they end: see [`Model::answers`]. Dropping it cancels those under way.
pub struct Answers<'m, I> {
    model: &'m Model,
    prompts: Enumerate<I>,
    at_once: usize,
    open: HashMap<usize, Open>,
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

/// What happened to an answer; `None` if the engine dropped it.
type Event = (usize, Option<TokenEvent>);

/// An answer under way.
struct Open {
    pieces: Pieces,
    text: String,
    /// Tells the engine that someone is waiting.
    _waiting: Arc<()>,
}

impl<I: Iterator<Item = (String, GenerateOptions)>> Iterator for Answers<'_, I> {
    type Item = (usize, Result<Answer, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((index, refused)) = self.submit() {
                return Some((index, Err(refused)));
            }
            if self.open.is_empty() {
                return None;
            }
            let (index, event) = self.receiver.recv().ok()?;
            let ended = self.open.get_mut(&index).and_then(|open| open.take(event));
            if let Some(answer) = ended {
                self.open.remove(&index);
                return Some((index, answer));
            }
        }
    }
}

impl<I: Iterator<Item = (String, GenerateOptions)>> Answers<'_, I> {
    /// Hands prompts to the engine as long as there is room; stops at one that is refused.
    fn submit(&mut self) -> Option<(usize, Error)> {
        while self.open.len() < self.at_once {
            let (index, (prompt, options)) = self.prompts.next()?;
            let waiting = Arc::new(());
            let sink = Sink { index, events: self.sender.clone(), waiting: Arc::downgrade(&waiting) };
            match self.model.submit(&prompt, &options, Box::new(sink)) {
                Ok(pieces) => self.open.insert(index, Open { pieces, text: String::new(), _waiting: waiting }),
                Err(refused) => return Some((index, refused)),
            };
        }
        None
    }
}

impl Open {
    /// Takes what happened; the answer if that was its end.
    fn take(&mut self, event: Option<TokenEvent>) -> Option<Result<Answer, Error>> {
        self.pieces.feed(event);
        while let Some(piece) = self.pieces.take() {
            match piece {
                Ok(Piece::Text(more)) => self.text.push_str(&more),
                Ok(Piece::Ended(ended)) => return Some(Ok(Answer { text: std::mem::take(&mut self.text), ended })),
                Err(e) => return Some(Err(e)),
            }
        }
        None
    }
}

/// Where the engine puts the tokens of one answer: the channel that all share. It is not bounded, because whoever asks for
/// whole answers reads them.
struct Sink {
    index: usize,
    events: Sender<Event>,
    waiting: Weak<()>,
}

impl TokenSink for Sink {
    fn state(&self) -> SinkState {
        if self.waiting.strong_count() == 0 { SinkState::Gone } else { SinkState::Ready }
    }

    fn send(&mut self, event: TokenEvent) {
        // It fails only when nobody waits any more.
        let _ = self.events.send((self.index, Some(event)));
    }
}

impl Drop for Sink {
    /// So that nobody waits for an engine that failed. After the end it is heard by nobody.
    fn drop(&mut self) {
        let _ = self.events.send((self.index, None));
    }
}
