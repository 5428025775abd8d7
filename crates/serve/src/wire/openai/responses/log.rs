//! The events of a response that is made in the background, for everybody who follows it, then and later.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use tokio::sync::{mpsc, watch};

use crate::wire::{Frame, stream};

/// Events that wait for who follows at most.
const WAITING: usize = 64;

/// All events so far.
pub(super) struct Log {
    frames: Mutex<Vec<Frame>>,
    /// Whether there will be no more. It changes with every event.
    ended: watch::Sender<bool>,
}

/// Ends a log when it is dropped.
pub(super) struct Ends(Arc<Log>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
    }
}

impl Default for Log {
    fn default() -> Log {
        Log { frames: Mutex::default(), ended: watch::Sender::new(false) }
    }
}

impl Log {
    /// Adds events.
    pub(super) fn add(&self, frames: Vec<Frame>) {
        self.frames().extend(frames);
        self.ended.send_modify(|_| ());
    }

    /// There will be more until what this gives is dropped, whatever happens.
    pub(super) fn until_dropped(self: &Arc<Self>) -> Ends {
        Ends(Arc::clone(self))
    }

    /// Bytes of the events.
    pub(super) fn bytes(&self) -> usize {
        self.frames().iter().map(|frame| frame.data.len()).sum()
    }

    /// The events from a number on, as they come, as a stream that is never silent for longer than `pings`.
    pub(super) fn follow(self: &Arc<Self>, from: usize, pings: Duration) -> Response {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(Arc::clone(self).tell(from, sender));
        stream::relayed(receiver, pings)
    }

    /// Ends with the log, or when nobody listens any more.
    async fn tell(self: Arc<Self>, mut next: usize, sender: mpsc::Sender<Frame>) {
        let mut ended = self.ended.subscribe();
        loop {
            let last = *ended.borrow_and_update();
            let frames = self.frames().get(next..).unwrap_or_default().to_vec();
            next += frames.len();
            for frame in frames {
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
            let more = async { !last && ended.changed().await.is_ok() };
            let more = tokio::select! {
                more = more => more,
                () = sender.closed() => false,
            };
            if !more {
                return;
            }
        }
    }

    fn frames(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
