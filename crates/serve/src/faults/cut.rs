//! Answers whose connection is closed before they are complete.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::Head;

/// The answer to the request of this head, which ends too early if a fault says so.
pub(crate) fn cut(response: Response, head: Option<&Arc<Head>>) -> Response {
    let Some(after) = head.and_then(|head| head.cut.get()).copied() else { return response };
    response.map(|body| {
        let hint = body.size_hint();
        // A body whose size is known comes at once: that is one message.
        let left = if hint.exact().is_some() { 1 } else { after };
        Body::new(Cut { body: Some(body), hint, left, sent: false })
    })
}

/// A body that fails in the middle: then its connection is closed.
struct Cut {
    /// `None` once it was cut off: what it was made from is not needed any more.
    body: Option<Body>,
    /// The size that was promised. If it is known, the body is cut in half.
    hint: SizeHint,
    /// Messages until it is cut off.
    left: usize,
    /// What came before has gone out.
    sent: bool,
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let due = self.left == 0;
        let Some(body) = self.body.as_mut().filter(|_| !due) else {
            self.body = None;
            // An error ends the connection at once: what is in its buffer is written first.
            if !std::mem::replace(&mut self.sent, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let error = Error::new(ErrorKind::ConnectionAborted, "an injected fault cuts the answer off");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        };
        let Some(frame) = ready!(Pin::new(body).poll_frame(cx)).transpose()? else { return Poll::Ready(None) };
        let Ok(mut data) = frame.into_data() else { return Poll::Ready(None) };
        self.left -= 1;
        if self.hint.exact().is_some() {
            data.truncate(data.len() / 2);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}
