//! Reading request bodies: whole, of limited size, in limited time.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use hyper::body::Body as _;

use crate::{Kind, Problem};

/// Bytes in a body at most.
const LIMIT: usize = 32 << 20;

/// A body that is too large is read on up to this, so that its sender reads our answer rather than a closed connection.
const DISCARD: usize = 8 * LIMIT;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads a body.
///
/// # Errors
/// If it is compressed, is too large, does not arrive in time, or its sender goes away.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    check_encoding(headers)?;
    let length = body.size_hint().lower();
    // Who waits for a "100 Continue" has not sent anything yet.
    if length > LIMIT as u64 && headers.contains_key(header::EXPECT) {
        return Err(too_large());
    }
    match tokio::time::timeout(PATIENCE, collect(body)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(
            Kind::BodyTimeout,
            format!("The body did not arrive within {} seconds.", PATIENCE.as_secs()),
        )),
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

async fn collect(mut body: Body) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::new();
    let mut length = 0;
    while let Some(chunk) = next(&mut body).await? {
        length += chunk.len();
        if length <= LIMIT {
            whole.extend_from_slice(&chunk);
        } else {
            whole = Vec::new();
        }
        if length > DISCARD {
            break;
        }
    }
    if length > LIMIT { Err(too_large()) } else { Ok(whole) }
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

fn too_large() -> Problem {
    Problem::new(Kind::TooLarge, format!("The body is larger than {} MiB.", LIMIT >> 20))
}
