//! One of the answers of a generation: its receiver and its text.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use engine::{FinishReason, SampledToken, TokenEvent};

use super::channel::TokenReceiver;
use super::generation::{Event, Reason, Tally};
use super::pipeline::{Piece, Pipeline};
use super::{Kind, Problem};

/// An answer being made.
pub(super) struct Choice {
    pub(super) index: usize,
    /// `None` once it has ended.
    pub(super) tokens: Option<TokenReceiver>,
    pub(super) pipeline: Pipeline,
    pub(super) stop_tokens: Arc<[u32]>,
    pub(super) tally: Arc<Tally>,
}

impl Choice {
    /// Takes the next event from the engine, if there is one, and adds what comes of it to `out`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut VecDeque<Event>) -> Poll<Result<(), Problem>> {
        let Some(tokens) = &mut self.tokens else { return Poll::Pending };
        match ready!(tokens.poll_recv(cx)) {
            Some(TokenEvent::Token(token)) => self.token(token, out),
            Some(TokenEvent::Finished(finish)) => return Poll::Ready(self.finished(finish.reason, out)),
            None => return Poll::Ready(Err(Problem::new(Kind::Internal, "The engine ended before the answer did."))),
        }
        Poll::Ready(Ok(()))
    }

    fn token(&mut self, token: SampledToken, out: &mut VecDeque<Event>) {
        self.tally.generated();
        // It ends the answer and has no text; `Finished` follows.
        if self.stop_tokens.contains(&token.id) {
            return;
        }
        let (piece, stopped) = self.pipeline.push(token);
        self.text(piece, out);
        if stopped {
            self.end(Reason::Stop, out);
        }
    }

    fn finished(&mut self, reason: FinishReason, out: &mut VecDeque<Event>) -> Result<(), Problem> {
        let reason = match reason {
            FinishReason::Stop(_) | FinishReason::Complete => Reason::Stop,
            FinishReason::Length => Reason::Length,
            FinishReason::Aborted | FinishReason::Cancelled => {
                return Err(Problem::new(Kind::Draining, "The server stopped before the answer was complete."));
            }
            FinishReason::Failed(why) => {
                return Err(Problem::new(Kind::Internal, format!("The model could not be computed: {why}")));
            }
        };
        let (piece, stopped) = self.pipeline.finish();
        self.text(piece, out);
        self.end(if stopped { Reason::Stop } else { reason }, out);
        Ok(())
    }

    fn text(&self, piece: Piece, out: &mut VecDeque<Event>) {
        if !piece.text.is_empty() || !piece.logprobs.is_empty() {
            out.push_back(Event::Text { choice: self.index, piece });
        }
    }

    /// Dropping the receiver frees the sequence, if it was still running.
    fn end(&mut self, reason: Reason, out: &mut VecDeque<Event>) {
        self.tokens = None;
        out.push_back(Event::Finished { choice: self.index, reason });
    }
}
