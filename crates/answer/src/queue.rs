//! The queue between an engine's thread and a generation's reader: one for all its choices, bounded for each of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use engine::{Drafts, EngineHandle, SinkState, TokenEvent, TokenSink};

use crate::Tally;

/// Events queued for a reader that is slow; then the sequence waits. Small, since it is memory for each choice.
const CAPACITY: usize = 32;

/// What the engine said of a choice; `None` if the engine dropped it without a word.
pub(crate) type Heard = (usize, Option<TokenEvent>);

/// Sinks for so many choices, `n` for each prompt, and where all they get is read. What the engine found of the prompts goes
/// to `tally` at once.
pub(crate) fn queue(
    (choices, n): (usize, usize),
    engine: &EngineHandle,
    tally: &Arc<Tally>,
) -> (Vec<Box<dyn TokenSink>>, Reader) {
    let open = vec![Some(0); choices];
    let state = State { events: VecDeque::new(), open, admitted: false, reader: None };
    let shared = Arc::new(Shared(Mutex::new(state)));
    let sink = |choice| {
        let (tally, first) = (Arc::clone(tally), choice % n == 0);
        Box::new(Sink { choice, first, shared: Arc::clone(&shared), tally, finished: false }) as Box<dyn TokenSink>
    };
    ((0..choices).map(sink).collect(), Reader { shared, engine: engine.clone() })
}

struct Shared(Mutex<State>);

struct State {
    events: VecDeque<Heard>,
    /// Events queued for each choice; `None` once nobody reads it.
    open: Vec<Option<usize>>,
    /// The engine has taken the request.
    admitted: bool,
    /// Who waits for an event.
    reader: Option<Waker>,
}

impl Shared {
    /// A panic while it is held leaves nothing half done, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, choice: usize, event: Option<TokenEvent>) {
        let mut state = self.lock();
        let Some(queued) = &mut state.open[choice] else { return };
        *queued += 1;
        state.events.push_back((choice, event));
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }
}

/// The engine's end for one choice.
struct Sink {
    choice: usize,
    /// Whether it is the first choice of a prompt.
    first: bool,
    shared: Arc<Shared>,
    tally: Arc<Tally>,
    finished: bool,
}

impl TokenSink for Sink {
    fn state(&self) -> SinkState {
        match self.shared.lock().open[self.choice] {
            None => SinkState::Gone,
            Some(CAPACITY..) => SinkState::Full,
            Some(_) => SinkState::Ready,
        }
    }

    fn admitted(&mut self) {
        let mut state = self.shared.lock();
        state.admitted = true;
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    fn started(&mut self, cached_tokens: usize) {
        if self.first {
            self.tally.found(cached_tokens);
        }
    }

    fn drafted(&mut self, drafts: Drafts) {
        self.tally.drafted(drafts);
    }

    fn send(&mut self, event: TokenEvent) {
        self.finished |= matches!(event, TokenEvent::Finished(_));
        self.shared.push(self.choice, Some(event));
    }
}

impl Drop for Sink {
    /// So that nobody waits for an engine that is gone.
    fn drop(&mut self) {
        if !self.finished {
            self.shared.push(self.choice, None);
        }
    }
}

/// The reader's end. Dropping it cancels every choice.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    engine: EngineHandle,
}

impl Reader {
    /// Whether the engine has said something: that it has taken the request, or why not.
    pub(crate) fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.shared.lock();
        if state.admitted || !state.events.is_empty() {
            return Poll::Ready(state.admitted);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next event of any choice.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let mut state = self.shared.lock();
        let Some((choice, event)) = state.events.pop_front() else {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let was_full = state.open[choice] == Some(CAPACITY);
        state.open[choice] = state.open[choice].map(|queued| queued - 1);
        drop(state);
        if was_full {
            // The engine may sleep on it.
            self.engine.wake();
        }
        Poll::Ready((choice, event))
    }

    /// Cancels a choice; what is queued for it is forgotten.
    pub(crate) fn close(&mut self, choice: usize) {
        let mut state = self.shared.lock();
        state.open[choice] = None;
        state.events.retain(|(other, _)| *other != choice);
        drop(state);
        self.engine.wake();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.open.fill(None);
        state.events.clear();
        drop(state);
        self.engine.wake();
    }
}
