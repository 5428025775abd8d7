//! A connection's bytes with time limits: between requests, in a request's head, and while an answer is not read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{LEAVE, Settings};

/// Counts the requests of a connection: its stream must know whether one is being answered, which hyper does not tell it.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    begun: usize,
    ended: usize,
    /// The connection's task, if it waits for bytes while a request is open. hyper would not look for more when it ends.
    reader: Option<Waker>,
}

impl Requests {
    /// A request's head is complete. It ends when what this gives is dropped.
    pub(super) fn begin(&self) -> OpenRequest {
        self.counts().begun += 1;
        OpenRequest(self.clone())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> bool {
        let counts = self.counts();
        counts.begun != counts.ended
    }

    /// How many have begun, if all have ended. Else the task hears when the last one does.
    fn awaited(&self, cx: &mut Context<'_>) -> Option<usize> {
        let mut counts = self.counts();
        if counts.begun == counts.ended {
            return Some(counts.begun);
        }
        match &mut counts.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        None
    }
}

/// A request that is being answered.
pub(super) struct OpenRequest(Requests);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let reader = {
            let mut counts = self.0.counts();
            counts.ended += 1;
            counts.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }
}

/// A stream whose reads fail when a request does not come in time.
pub(super) struct Patient<S> {
    stream: S,
    settings: Arc<Settings>,
    requests: Requests,
    reading: Clock<Awaited>,
    /// Bytes of the last answer may still be on their way: what takes long then is sending, which has its own limit.
    unsent: bool,
    /// Another process accepts: without a request the stream ends soon.
    leaving: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What a connection without an open request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The first byte of the request with this number.
    Request(usize),
    /// The same, where it is the last one that is answered.
    Last(usize),
    /// The last byte of its head.
    Head(usize),
}

impl<S> Patient<S> {
    pub(super) fn new(
        stream: S,
        settings: Arc<Settings>,
        requests: Requests,
        leaving: CancellationToken,
    ) -> Patient<S> {
        let leaving = Box::pin(leaving.cancelled_owned());
        Patient { stream, settings, requests, reading: Clock::new(), unsent: false, leaving }
    }

    /// Passes on what a read gave. While a request is open nothing is measured here: its body has its own limit.
    fn after_read(&mut self, cx: &mut Context<'_>, read: Poll<io::Result<usize>>) -> Poll<io::Result<()>> {
        let (Some(number), settings) = (self.requests.awaited(cx), &self.settings) else { return read.map_ok(|_| ()) };
        match read {
            Poll::Ready(Ok(1..)) => self.reading.wait_for(Awaited::Head(number), settings.head_timeout),
            Poll::Pending if self.reading.awaits(Awaited::Head(number)) => {}
            Poll::Pending if self.unsent => return Poll::Pending,
            Poll::Pending if self.leaving.as_mut().poll(cx).is_ready() => {
                self.reading.wait_for(Awaited::Last(number), settings.idle_timeout.min(LEAVE));
            }
            Poll::Pending => self.reading.wait_for(Awaited::Request(number), settings.idle_timeout),
            Poll::Ready(_) => {}
        }
        match read {
            Poll::Ready(read) => Poll::Ready(read.map(drop)),
            Poll::Pending => self.reading.expired(cx, "the client sent no request"),
        }
    }

    /// The connection is not idle yet.
    fn after_write(&mut self) {
        self.unsent = true;
        if let Some(Awaited::Request(_) | Awaited::Last(_)) = self.reading.awaited {
            self.reading.stop();
        }
    }
}

/// Measures how long something has been awaited.
struct Clock<T> {
    sleep: Pin<Box<Sleep>>,
    awaited: Option<T>,
}

impl<T: PartialEq> Clock<T> {
    fn new() -> Clock<T> {
        Clock { sleep: Box::pin(tokio::time::sleep_until(Instant::now())), awaited: None }
    }

    fn awaits(&self, what: T) -> bool {
        self.awaited == Some(what)
    }

    /// Begins to measure, unless it already measures the same.
    fn wait_for(&mut self, what: T, limit: Duration) {
        if self.awaited.as_ref() != Some(&what) {
            self.awaited = Some(what);
            let now = Instant::now();
            self.sleep.as_mut().reset(now.checked_add(limit).unwrap_or(now + super::FOREVER));
        }
    }

    fn stop(&mut self) {
        self.awaited = None;
    }

    /// Fails once the time is over.
    fn expired<R>(&mut self, cx: &mut Context<'_>, why: &'static str) -> Poll<io::Result<R>> {
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf).map_ok(|()| buf.filled().len() - before);
        self.after_read(cx, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.after_write();
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.after_write();
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() && std::mem::take(&mut self.unsent) && !self.requests.is_open() {
            // The connection may be idle from now on. hyper has read before and does not so again by itself.
            cx.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A socket whose writes fail when nobody reads for so long. With TLS it is below that, which takes bytes that nobody reads.
pub(super) struct Unstalled<S> {
    stream: S,
    limit: Duration,
    writing: Clock<()>,
}

impl<S> Unstalled<S> {
    pub(super) fn new(stream: S, settings: &Settings) -> Unstalled<S> {
        Unstalled { stream, limit: settings.stall_timeout, writing: Clock::new() }
    }

    /// Passes on what a write gave.
    fn after_write<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing.stop();
            return written;
        }
        self.writing.wait_for((), self.limit);
        self.writing.expired(cx, "the client stopped reading")
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.after_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.after_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
