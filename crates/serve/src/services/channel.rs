//! The bounded queue between an engine's thread and a choice's receiver.

use std::task::{Context, Poll};

use engine::{EngineHandle, SinkState, TokenEvent, TokenSink};
use tokio::sync::mpsc;

/// Events queued for a client that reads slowly; then its sequence waits. Small, since it is memory per choice.
const CAPACITY: usize = 32;

/// A bounded queue for one continuation, read asynchronously. One place is kept for `Finished`.
pub fn token_channel(engine: &EngineHandle) -> (Box<dyn TokenSink>, TokenReceiver) {
    let (sender, events) = mpsc::channel(CAPACITY);
    (Box::new(ChannelSink(sender)), TokenReceiver { events, engine: engine.clone() })
}

struct ChannelSink(mpsc::Sender<TokenEvent>);

impl TokenSink for ChannelSink {
    fn state(&self) -> SinkState {
        match self.0.capacity() {
            _ if self.0.is_closed() => SinkState::Gone,
            0 | 1 => SinkState::Full,
            _ => SinkState::Ready,
        }
    }

    fn send(&mut self, event: TokenEvent) {
        // It fails only when the receiver has gone, which is cancellation and no error.
        let _ = self.0.try_send(event);
    }
}

/// The receiving end. Dropping it cancels the sequence.
pub struct TokenReceiver {
    events: mpsc::Receiver<TokenEvent>,
    engine: EngineHandle,
}

impl TokenReceiver {
    /// The next event; `None` if the engine has gone.
    pub async fn recv(&mut self) -> Option<TokenEvent> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`TokenReceiver::recv`] for hand-written futures.
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<TokenEvent>> {
        let event = self.events.poll_recv(cx);
        // Just became Ready: the engine may sleep on it. (Only the engine sends, so a full queue passes through 2 here.)
        if matches!(event, Poll::Ready(Some(_))) && self.events.capacity() == 2 {
            self.engine.wake();
        }
        event
    }
}

impl Drop for TokenReceiver {
    fn drop(&mut self) {
        self.events.close();
        self.engine.wake();
    }
}
