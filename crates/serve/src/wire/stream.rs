//! A generation as server-sent events, as soon as there is something to say.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use answer::Generation;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;

use super::{Dialect, Frame};

/// A comment is sent after so long without a token (a long prompt, a full engine): proxies close silent connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The answer as a stream; dropping it cancels the generation.
pub(super) fn stream(dialect: impl Dialect, generation: Generation) -> Response {
    let frames = Frames { dialect, generation: Some(generation), ready: VecDeque::new() };
    let mut response = Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Asks nginx and its kin not to collect events.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct Frames<D> {
    dialect: D,
    /// `None` once it has ended.
    generation: Option<Generation>,
    ready: VecDeque<Frame>,
}

impl<D: Dialect> Stream for Frames<D> {
    type Item = Result<Sent, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Frames { dialect, generation, ready } = &mut *self;
        loop {
            if let Some(Frame { name, data }) = ready.pop_front() {
                let sent = name.map_or_else(Sent::default, |name| Sent::default().event(name));
                return Poll::Ready(Some(Ok(sent.data(data))));
            }
            let Some(open) = generation else { return Poll::Ready(None) };
            match ready!(open.poll_next(cx)) {
                Some(Ok(event)) => ready.extend(dialect.event(event, open.tally())),
                Some(Err(problem)) => {
                    ready.extend(dialect.failure(&problem.into()));
                    *generation = None;
                }
                None => {
                    ready.extend(dialect.end(open.tally()));
                    *generation = None;
                }
            }
        }
    }
}
