//! Bodies: a request's is read whole, of limited size, in limited time; an answer's takes along what must live as long.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::Settings;
use crate::{Kind, Problem};

/// A body that is too large is read on up to so many times the limit, so that its sender reads our answer rather than a
/// closed connection.
const DISCARD: usize = 8;

/// Reads the body of the request with this head, whose connection has left its [`Settings`] there.
///
/// # Errors
/// If it is compressed, is too large, does not arrive in time, or its sender goes away.
pub(crate) async fn read(head: &Parts, body: Body) -> Result<Vec<u8>, Problem> {
    check_encoding(&head.headers)?;
    let settings = Settings::of(&head.extensions);
    let (limit, patience) = (settings.max_body, settings.body_timeout);
    // Who waits for a "100 Continue" has not sent anything yet.
    if body.size_hint().lower() > limit as u64 && head.headers.contains_key(header::EXPECT) {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(patience, collect(body, limit)).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("The body did not arrive within {} seconds.", patience.as_secs_f64());
            Err(Problem::new(Kind::BodyTimeout, message))
        }
    }
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    if encoding.is_empty() || encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let message = format!("The body has the content-encoding {encoding:?}; send it as plain JSON.");
    Err(Problem::new(Kind::BodyEncoding, message))
}

async fn collect(mut body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::new();
    let mut length = 0;
    while let Some(chunk) = next(&mut body).await? {
        length += chunk.len();
        if length <= limit {
            whole.extend_from_slice(&chunk);
        } else {
            whole = Vec::new();
        }
        if length > limit.saturating_mul(DISCARD) {
            break;
        }
    }
    if length > limit { Err(too_large(limit)) } else { Ok(whole) }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        match std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(e)) => return Err(Problem::new(Kind::InvalidJson, format!("The body is incomplete: {e}."))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn too_large(limit: usize) -> Problem {
    let size = match limit >> 20 {
        0 => format!("{limit} bytes"),
        mib => format!("{mib} MiB"),
    };
    Problem::new(Kind::TooLarge, format!("The body is larger than {size}."))
}

/// The body, with something that is dropped when it is.
pub(super) fn with<T: Send + Unpin + 'static>(body: Body, kept: T) -> Body {
    Body::new(With { body, _kept: kept })
}

struct With<T> {
    body: Body,
    _kept: T,
}

impl<T: Unpin> HttpBody for With<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
