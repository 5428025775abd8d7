//! Bodies: a request's is read whole, of limited size, in limited time and memory; an answer's takes along what must live as
//! long.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Settings;
use crate::{Kind, Problem};

/// A body that is too large is read on up to so many times the limit, so that its sender reads our answer rather than a
/// closed connection.
const DISCARD: usize = 8;

/// Bytes that the bodies of all requests may still take, from their first byte until they are parsed.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        Budget(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(bytes.try_into().ok()?).ok()
    }
}

/// A whole body, which gives back its bytes of the [`Budget`] when it is dropped.
#[derive(Default)]
pub(crate) struct Whole {
    bytes: Vec<u8>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Whole {
    /// Takes what arrived; `None` if the budget does not have it.
    fn push(&mut self, chunk: &[u8], budget: &Budget) -> Option<()> {
        let taken = budget.take(chunk.len())?;
        match &mut self.taken {
            Some(before) => before.merge(taken),
            none => *none = Some(taken),
        }
        self.bytes.extend_from_slice(chunk);
        Some(())
    }
}

/// Reads the body of the request with this head, whose connection has left its [`Settings`] and [`Budget`] there.
///
/// # Errors
/// If it is compressed, is too large, does not arrive in time, finds no memory, or its sender goes away.
pub(crate) async fn read(head: &Parts, body: Body) -> Result<Whole, Problem> {
    check_encoding(&head.headers)?;
    let settings = Settings::of(&head.extensions);
    let (limit, patience) = (settings.max_body, settings.body_timeout);
    // Who waits for a "100 Continue" has not sent anything yet.
    if body.size_hint().lower() > limit as u64 && head.headers.contains_key(header::EXPECT) {
        return Err(too_large(limit));
    }
    let budget = head.extensions.get().cloned().unwrap_or_else(|| Budget::new(settings.max_bodies));
    match tokio::time::timeout(patience, collect(body, limit, &budget)).await {
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

async fn collect(mut body: Body, limit: usize, budget: &Budget) -> Result<Whole, Problem> {
    let mut whole = Ok(Whole::default());
    let mut length = 0;
    while let Some(chunk) = next(&mut body).await? {
        length += chunk.len();
        if length > limit {
            whole = Err(too_large(limit));
        } else if whole.as_mut().is_ok_and(|whole| whole.push(&chunk, budget).is_none()) {
            whole = Err(no_memory());
        }
        if length > limit.saturating_mul(DISCARD) {
            break;
        }
    }
    whole
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

fn no_memory() -> Problem {
    let message = "The requests that are arriving take all the memory that there is for them. Try again later.";
    Problem::new(Kind::Busy, message)
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
