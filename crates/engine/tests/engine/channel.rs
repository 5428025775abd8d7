//! A receiver of tokens that a test reads on its own thread: the other end of a bounded channel.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use engine::{EngineHandle, SinkState, TokenEvent, TokenSink};

/// A sink that holds `capacity` tokens (at least one) until they are read, and where to read them.
pub(crate) fn channel(capacity: usize, engine: &EngineHandle) -> (ChannelSink, TokenReceiver) {
    let capacity = capacity.max(1);
    // One place more than is ever filled with tokens: Finished always fits.
    let (sender, receiver) = bounded(capacity + 1);
    let alive = Arc::new(());
    let sink = ChannelSink { sender, capacity, receiver: Arc::clone(&alive) };
    (sink, TokenReceiver { events: receiver, capacity, _alive: alive, engine: engine.clone() })
}

/// The engine's end of [`channel`].
pub(crate) struct ChannelSink {
    sender: Sender<TokenEvent>,
    capacity: usize,
    /// The other owner is the receiver.
    receiver: Arc<()>,
}

impl TokenSink for ChannelSink {
    fn state(&self) -> SinkState {
        if Arc::strong_count(&self.receiver) == 1 {
            SinkState::Gone
        } else if self.sender.len() >= self.capacity {
            SinkState::Full
        } else {
            SinkState::Ready
        }
    }

    fn send(&mut self, event: TokenEvent) {
        // It fails only for a receiver that has gone since it was asked.
        let _ = self.sender.try_send(event);
    }
}

/// The reader's end of [`channel`]: an iterator of events, the last of which is `Finished`. It ends without one if the
/// engine's thread ended before. Dropping it cancels the request.
pub(crate) struct TokenReceiver {
    events: Receiver<TokenEvent>,
    capacity: usize,
    _alive: Arc<()>,
    engine: EngineHandle,
}

impl Iterator for TokenReceiver {
    type Item = TokenEvent;

    /// Waits for the next event.
    fn next(&mut self) -> Option<TokenEvent> {
        let event = self.events.recv().ok();
        // Asked afterwards: while this waited, the engine may have filled the channel and found it full.
        if self.events.len() + 1 >= self.capacity {
            self.engine.wake();
        }
        event
    }
}
