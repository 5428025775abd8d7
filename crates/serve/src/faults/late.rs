//! An answer whose events come late.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use answer::{Event, Generation, Problem, Relay};
use tokio::time::{Instant, Sleep, sleep_until};

use super::fault::Over;

/// The least time between two events, until a fault ends.
pub(super) type Pace = (Duration, Arc<Over>);

/// Holds events back. The engine computes on, as far ahead as it does for a client that reads slowly.
pub(super) struct Late {
    generation: Generation,
    paces: Vec<Pace>,
    /// When the next event may come.
    due: Instant,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Late {
    /// The first event comes after `delay`, the others at their pace.
    pub(super) fn new(generation: Generation, delay: Duration, paces: Vec<Pace>) -> Late {
        Late { generation, paces, due: Instant::now() + delay, waiting: None }
    }

    fn pace(&self) -> Duration {
        let lasting = self.paces.iter().filter(|(_, over)| !over.is_over());
        lasting.map(|(time, _)| *time).max().unwrap_or_default()
    }
}

impl Relay for Late {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Problem>>> {
        if self.due > Instant::now() {
            // Made here, on the runtime that waits for it.
            ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep_until(self.due))).as_mut().poll(cx));
        }
        self.waiting = None;
        let event = ready!(self.generation.poll_next(cx));
        self.due = Instant::now() + self.pace();
        Poll::Ready(event)
    }
}
