//! A generation as server-sent events, one for each piece of text, as soon as it is there.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde::Serialize;

use super::{error, routes};
use crate::openai::response::{
    Answer, ChatDelta, ChatLogprobs, Delta, Head, TextChoice, TextLogprobs, Usage, finish_reason,
};
use crate::services::{Event, Generation, Piece, Reason};
use crate::{Endpoint, Problem};

/// A comment is sent after so long without a token (a long prompt, a full engine): proxies close silent connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The answer as a stream; dropping it cancels the generation.
pub(super) fn stream(endpoint: Endpoint, generation: Generation, logprobs: bool, include_usage: bool) -> Response {
    let chunks = Chunks {
        head: routes::head(endpoint, &generation.model, true),
        endpoint,
        logprobs,
        include_usage,
        begun: vec![false; generation.choices],
        generation: Some(generation),
        ready: VecDeque::new(),
    };
    let mut response = Sse::new(chunks).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Asks nginx and its kin not to collect events.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct Chunks {
    head: Head,
    endpoint: Endpoint,
    logprobs: bool,
    include_usage: bool,
    /// Choices whose role has been sent.
    begun: Vec<bool>,
    /// `None` once it has ended.
    generation: Option<Generation>,
    ready: VecDeque<Sent>,
}

impl Stream for Chunks {
    type Item = Result<Sent, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(sent) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(sent)));
            }
            let Some(generation) = &mut self.generation else { return Poll::Ready(None) };
            match ready!(generation.poll_next(cx)) {
                Some(Ok(event)) => self.event(event),
                Some(Err(problem)) => self.fail(&problem),
                None => self.end(),
            }
        }
    }
}

impl Chunks {
    fn event(&mut self, event: Event) {
        match event {
            Event::Text { choice, piece } => self.part(choice, Some(piece), None),
            Event::Finished { choice, reason } => self.part(choice, None, Some(reason)),
        }
    }

    fn part(&mut self, index: usize, piece: Option<Piece>, reason: Option<Reason>) {
        match self.endpoint {
            Endpoint::Chat => self.chat_part(index, piece, reason),
            Endpoint::Completions => self.text_part(index, piece, reason),
        }
    }

    /// The first chunk of each choice says who speaks.
    fn chat_part(&mut self, index: usize, piece: Option<Piece>, reason: Option<Reason>) {
        if !std::mem::replace(&mut self.begun[index], true) {
            let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
            self.send(vec![ChatDelta { index, delta, logprobs: None, finish_reason: None }], None);
        }
        let logprobs = piece.as_ref().filter(|_| self.logprobs).map(|piece| ChatLogprobs::new(&piece.logprobs));
        let delta = Delta { role: None, content: piece.map(|piece| piece.text) };
        self.send(vec![ChatDelta { index, delta, logprobs, finish_reason: reason.map(finish_reason) }], None);
    }

    fn text_part(&mut self, index: usize, piece: Option<Piece>, reason: Option<Reason>) {
        let logprobs = piece.as_ref().filter(|_| self.logprobs).map(|piece| TextLogprobs::new(&piece.logprobs));
        let text = piece.map(|piece| piece.text).unwrap_or_default();
        self.send(vec![TextChoice { index, text, logprobs, finish_reason: reason.map(finish_reason) }], None);
    }

    fn send<C: Serialize>(&mut self, choices: Vec<C>, usage: Option<Usage>) {
        let answer = Answer { head: &self.head, choices, usage: self.include_usage.then_some(usage) };
        self.ready.extend(Sent::default().json_data(answer));
    }

    fn fail(&mut self, problem: &Problem) {
        self.ready.extend(Sent::default().json_data(error::body(problem)));
        self.done();
    }

    fn end(&mut self) {
        if let Some(usage) = self.generation.as_ref().filter(|_| self.include_usage).map(|all| Usage::from(&*all.tally))
        {
            self.send(Vec::<TextChoice>::new(), Some(usage));
        }
        self.done();
    }

    fn done(&mut self) {
        self.ready.push_back(Sent::default().data("[DONE]"));
        self.generation = None;
    }
}
