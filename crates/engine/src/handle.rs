//! How other threads speak to an engine: a channel of commands, and a queue that is counted before it is joined.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::pace::Pace;
use crate::{EngineStats, EngineView, Request, RequestId, RestoreError, SavedPrefix};

/// Everything that can wake an engine.
pub(crate) enum Command {
    /// Take requests, which came together at this time, into the queue.
    Submit(Vec<Request>, Duration),
    /// End a request now.
    Abort(RequestId),
    /// Say who runs and who waits.
    View(Sender<EngineView>),
    /// Say what the cache has of these tokens, shared by who has this salt.
    Save(Vec<u32>, Option<Arc<str>>, Sender<Option<SavedPrefix>>),
    /// Put a prefix back into the cache.
    Restore(Box<SavedPrefix>, Sender<Result<usize, RestoreError>>),
    /// A receiver that was full has room again.
    Wake,
    /// Take no more requests; end when the last one has.
    Drain,
    /// Abort everything and end.
    Stop,
}

/// Why a request was not taken.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue is full now.
    #[error("the queue is full")]
    Full,
    /// The queue never has room for so many continuations.
    #[error("{continuations} continuations at once, but the queue takes {max_queue}; ask for fewer")]
    TooMany {
        /// Continuations submitted together.
        continuations: usize,
        /// What the queue takes.
        max_queue: usize,
    },
    /// The engine takes no more requests: it drains or has ended.
    #[error("the engine is draining")]
    Draining,
    /// The engine broke down and will not come back.
    #[error("the engine has failed: {0}")]
    Failed(Arc<str>),
}

/// What an engine can do for clients now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It takes requests.
    Running,
    /// It finishes what it has.
    Draining,
    /// It has finished; its thread is gone.
    Ended,
    /// It broke down; everything it had was answered with this reason.
    Failed(Arc<str>),
}

/// Speaks to an engine from any thread; never blocks. When all handles are gone the engine drains.
#[derive(Clone)]
pub struct EngineHandle {
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

/// What handles and the engine's thread both see.
pub(crate) struct Shared {
    max_queue: usize,
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    /// A mutex because commands must not enter the channel after the thread has looked into it for the last time: who
    /// submits holds it from the look at `liveness` to the sending, for a few instructions.
    state: Mutex<State>,
    /// A wake is under way: more of them would say nothing new.
    pub(crate) waking: AtomicBool,
}

/// What changes. The queue is counted here, not by the channel's bound, so that a full queue never loses an abort.
struct State {
    liveness: Liveness,
    /// Continuations in the channel.
    sent: usize,
    /// Continuations in the engine's queue.
    queued: usize,
    stats: EngineStats,
    pace: Pace,
}

impl EngineHandle {
    pub(crate) fn new(commands: Sender<Command>, shared: Arc<Shared>) -> EngineHandle {
        EngineHandle { commands, shared }
    }

    /// Queues a request; its continuations take a place each.
    ///
    /// # Errors
    /// If there are not places enough, or the engine is draining or has failed; the request's sinks are dropped.
    pub fn submit(&self, request: Request) -> Result<(), SubmitError> {
        self.submit_all(vec![request])
    }

    /// Queues several requests, or none of them. If the deadline of one cannot be met, all end as
    /// [`crate::FinishReason::TooLate`] before the next step; else their sinks hear that they are
    /// [admitted](crate::TokenSink::admitted).
    ///
    /// # Errors
    /// As [`EngineHandle::submit`], for all continuations together.
    pub fn submit_all(&self, requests: Vec<Request>) -> Result<(), SubmitError> {
        let continuations = requests.iter().map(|request| request.continuations.len()).sum();
        let arrived = self.now();
        let mut state = self.shared.lock();
        self.shared.admit(&state, continuations)?;
        state.sent += continuations;
        self.send(Command::Submit(requests, arrived));
        Ok(())
    }

    /// Whether a request of so many continuations would be taken now. It costs next to nothing: ask before a request's
    /// text is read.
    ///
    /// # Errors
    /// As [`EngineHandle::submit`].
    pub fn check_room(&self, continuations: usize) -> Result<(), SubmitError> {
        self.shared.admit(&self.shared.lock(), continuations)
    }

    /// Whether the queue has room for so many continuations now.
    pub fn has_room(&self, continuations: usize) -> bool {
        self.queue_free() >= continuations
    }

    /// Places in the queue that are free now.
    pub fn queue_free(&self) -> usize {
        self.shared.free(&self.shared.lock())
    }

    /// How long it takes, at the pace of late, until the queue has room for so many continuations; `None` if too few have
    /// ended to say.
    pub fn room_within(&self, continuations: usize) -> Option<Duration> {
        let state = self.shared.lock();
        state.pace.until(continuations.saturating_sub(self.shared.free(&state)))
    }

    /// Places in the queue.
    pub fn max_queue(&self) -> usize {
        self.shared.max_queue
    }

    /// Who runs and who waits: comes after the step that is computed now, or never if the engine has ended.
    pub fn view(&self) -> Receiver<EngineView> {
        let (sender, receiver) = bounded(1);
        self.send(Command::View(sender));
        receiver
    }

    /// What the cache has of these tokens: comes after the step that is computed now, or never if the engine has ended.
    pub fn save_prefix(&self, tokens: Vec<u32>, salt: Option<Arc<str>>) -> Receiver<Option<SavedPrefix>> {
        let (sender, receiver) = bounded(1);
        self.send(Command::Save(tokens, salt, sender));
        receiver
    }

    /// Puts a prefix back into the cache; gives its tokens, likewise.
    pub fn restore_prefix(&self, saved: SavedPrefix) -> Receiver<Result<usize, RestoreError>> {
        let (sender, receiver) = bounded(1);
        self.send(Command::Restore(Box::new(saved), sender));
        receiver
    }

    /// What the engine can do for clients now.
    pub fn liveness(&self) -> Liveness {
        self.shared.lock().liveness.clone()
    }

    /// The time by the engine's clock, in which deadlines are given.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Ends a request (dropping its receivers does the same within a step).
    pub fn abort(&self, id: RequestId) {
        self.send(Command::Abort(id));
    }

    /// Says that a receiver that was full has room again.
    pub fn wake(&self) {
        if !self.shared.waking.swap(true, Ordering::SeqCst) {
            self.send(Command::Wake);
        }
    }

    /// Takes no more requests; the engine's thread ends when the last one has.
    pub fn drain(&self) {
        self.shared.drain();
        self.send(Command::Drain);
    }

    /// Aborts everything; the engine's thread ends.
    pub fn stop(&self) {
        self.shared.drain();
        self.send(Command::Stop);
    }

    /// The counters now.
    pub fn stats(&self) -> EngineStats {
        self.shared.lock().stats
    }

    fn send(&self, command: Command) {
        // It fails only when the engine's thread has ended, and then there is nothing to command.
        let _ = self.commands.send(command);
    }
}

impl Shared {
    pub(crate) fn new(max_queue: usize, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Shared {
        let (stats, pace) = (EngineStats::default(), Pace::default());
        let state = State { liveness: Liveness::Running, sent: 0, queued: 0, stats, pace };
        Shared { max_queue, clock: Box::new(clock), state: Mutex::new(state), waking: AtomicBool::new(false) }
    }

    pub(crate) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// The counters of the engine, which has taken `taken` continuations from the channel since it was last published and
    /// has `queued` in its queue.
    pub(crate) fn publish(&self, taken: usize, queued: usize, stats: EngineStats, pace: Pace) {
        let mut state = self.lock();
        state.sent -= taken.min(state.sent);
        (state.queued, state.stats, state.pace) = (queued, stats, pace);
    }

    /// The engine takes no more requests.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        if state.liveness == Liveness::Running {
            state.liveness = Liveness::Draining;
        }
    }

    /// The engine's thread ends: nothing enters the channel from now on. Only the first reason counts.
    pub(crate) fn end(&self, liveness: Liveness) {
        let mut state = self.lock();
        if matches!(state.liveness, Liveness::Running | Liveness::Draining) {
            state.liveness = liveness;
        }
    }

    /// Nothing is left in channel or queue.
    pub(crate) fn empty(&self) {
        let mut state = self.lock();
        (state.sent, state.queued) = (0, 0);
    }

    fn admit(&self, state: &State, continuations: usize) -> Result<(), SubmitError> {
        match &state.liveness {
            Liveness::Running => {}
            Liveness::Draining | Liveness::Ended => return Err(SubmitError::Draining),
            Liveness::Failed(why) => return Err(SubmitError::Failed(Arc::clone(why))),
        }
        if continuations > self.max_queue {
            return Err(SubmitError::TooMany { continuations, max_queue: self.max_queue });
        }
        if continuations > self.free(state) { Err(SubmitError::Full) } else { Ok(()) }
    }

    fn free(&self, state: &State) -> usize {
        self.max_queue.saturating_sub(state.sent + state.queued)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
