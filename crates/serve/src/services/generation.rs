//! A generation: the answers to one request, as a stream of events. Dropping it cancels what is still running.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use super::choice::Choice;
use super::{Piece, Problem};

/// What happens in a generation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A choice goes on.
    Text {
        /// Which.
        choice: usize,
        /// With what.
        piece: Piece,
    },
    /// A choice has ended.
    Finished {
        /// Which.
        choice: usize,
        /// Why.
        reason: Reason,
    },
}

/// Why a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A stop token or a stop string.
    Stop,
    /// The most tokens were made.
    Length,
}

/// Tokens so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    prompt: usize,
    generated: AtomicUsize,
}

impl Tally {
    /// Starts with the prompts' tokens.
    pub(super) fn new(prompt: usize) -> Tally {
        Tally { prompt, generated: AtomicUsize::new(0) }
    }

    pub(super) fn generated(&self) {
        self.generated.fetch_add(1, Ordering::Relaxed);
    }

    /// Tokens in the prompts, and generated so far.
    pub(crate) fn tokens(&self) -> (usize, usize) {
        (self.prompt, self.generated.load(Ordering::Relaxed))
    }
}

/// The answers to one request.
pub(crate) struct Generation {
    /// The model's name.
    pub(crate) model: String,
    /// How many answers.
    pub(crate) choices: usize,
    /// Tokens so far.
    pub(crate) tally: Arc<Tally>,
    open: Vec<Choice>,
    ready: VecDeque<Event>,
}

impl Generation {
    /// `ready` are events known at once; `open` are the choices still to come.
    pub(super) fn new(model: String, tally: Arc<Tally>, open: Vec<Choice>, ready: VecDeque<Event>) -> Generation {
        let choices = open.len();
        Generation { model, choices, tally, open, ready }
    }

    /// The next event; `None` when every choice has ended. After a problem there is nothing more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Problem>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            self.open.retain(|choice| choice.tokens.is_some());
            if self.open.is_empty() {
                return Poll::Ready(None);
            }
            match self.advance(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(problem)) => {
                    self.open.clear();
                    return Poll::Ready(Some(Err(problem)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Option<Result<Event, Problem>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Takes an event from each choice that has one; pending if none has.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        let mut moved = Poll::Pending;
        for choice in &mut self.open {
            match choice.poll(cx, &mut self.ready) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => moved = Poll::Ready(Ok(())),
                failed => return failed,
            }
        }
        moved
    }
}
