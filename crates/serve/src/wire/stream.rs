//! A generation as a stream of messages, as soon as there is something to say.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use answer::Generation;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tokio::sync::mpsc;

use super::{Dialect, Frame};
use crate::models::Lease;

/// How the messages of a stream are written.
pub(crate) enum Framing {
    /// As server-sent events. A stream that is silent sends a comment, or this event: its name and its data.
    Events {
        /// The event.
        ping: Option<(&'static str, &'static str)>,
    },
    /// A line each. There is nothing that a silent stream could send.
    Lines,
}

/// The answer as a stream, which is never silent for longer than `pings`; dropping it cancels the generation.
pub(super) fn stream<D: Dialect>(mut dialect: D, generation: (Generation, Lease), pings: Duration) -> Response {
    let ready = dialect.begin(generation.0.tally()).into();
    let frames = Frames { dialect, generation: Some(generation), ready };
    let response = match D::FRAMING {
        Framing::Events { ping } => Sse::new(Events(frames)).keep_alive(keep_alive(ping, pings)).into_response(),
        Framing::Lines => {
            let kind = HeaderValue::from_static("application/x-ndjson");
            ([(header::CONTENT_TYPE, kind)], Body::from_stream(Lines(frames))).into_response()
        }
    };
    uncollected(response)
}

/// What somebody else generates as a stream of server-sent events, which is never silent for longer than `pings`.
pub(super) fn relayed(frames: mpsc::Receiver<Frame>, pings: Duration) -> Response {
    uncollected(Sse::new(Relayed(frames)).keep_alive(keep_alive(None, pings)).into_response())
}

/// Asks nginx and its kin not to collect events.
fn uncollected(mut response: Response) -> Response {
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn keep_alive(ping: Option<(&'static str, &'static str)>, every: Duration) -> KeepAlive {
    let alive = KeepAlive::new().interval(every);
    match ping {
        Some((name, data)) => alive.event(Sent::default().event(name).data(data)),
        None => alive,
    }
}

struct Frames<D> {
    dialect: D,
    /// With the model's lease; `None` once it has ended.
    generation: Option<(Generation, Lease)>,
    ready: VecDeque<Frame>,
}

impl<D: Dialect> Frames<D> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let Frames { dialect, generation, ready } = self;
        loop {
            if let Some(frame) = ready.pop_front() {
                return Poll::Ready(Some(frame));
            }
            let Some((open, _)) = generation else { return Poll::Ready(None) };
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

/// Frames as server-sent events.
struct Events<D>(Frames<D>);

impl<D: Dialect> Stream for Events<D> {
    type Item = Result<Sent, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(cx).map(|frame| frame.map(sent))
    }
}

/// Frames of somebody else as server-sent events.
struct Relayed(mpsc::Receiver<Frame>);

impl Stream for Relayed {
    type Item = Result<Sent, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|frame| frame.map(sent))
    }
}

fn sent(Frame { name, data }: Frame) -> Result<Sent, Infallible> {
    let sent = name.map_or_else(Sent::default, |name| Sent::default().event(name));
    Ok(sent.data(data))
}

/// Frames as lines.
struct Lines<D>(Frames<D>);

impl<D: Dialect> Stream for Lines<D> {
    type Item = Result<String, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(cx).map(|frame| frame.map(|Frame { data, .. }| Ok(data + "\n")))
    }
}
