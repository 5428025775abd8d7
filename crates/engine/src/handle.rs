//! How other threads speak to an engine: a channel of commands, and a queue that is counted before it is joined.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::handover::Migrant;
use crate::memory::MemoryAnswer;
use crate::pace::Pace;
use crate::{EngineStats, EngineView, Instruments, MemoryOrder, Request, RequestId, RestoreError, SavedPrefix};

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
    /// Go on with a request that another engine has begun.
    Adopt(Box<Migrant>),
    /// Put a prefix back into the cache.
    Restore(Box<SavedPrefix>, Sender<Result<usize, RestoreError>>),
    /// Look at the memory, or change it.
    Memory(MemoryOrder, Sender<MemoryAnswer>),
    /// Take so many blocks of the cache away until this time.
    Withhold(usize, Duration),
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
    /// The prompts that wait have as many tokens as may wait, or nearly.
    #[error("{tokens} tokens of prompts, but only {free} more may wait now")]
    FullOfTokens {
        /// Tokens of the prompts submitted together.
        tokens: usize,
        /// Tokens that the queue has room for.
        free: usize,
    },
    /// The queue never has room for so many continuations.
    #[error("{continuations} continuations at once, but the queue takes {max_queue}; ask for fewer")]
    TooMany {
        /// Continuations submitted together.
        continuations: usize,
        /// What the queue takes.
        max_queue: usize,
    },
    /// The queue never has room for so many tokens of prompts.
    #[error(
        "{tokens} tokens of prompts at once, but the queue takes {max_queue_tokens}; send them in several requests"
    )]
    TooManyTokens {
        /// Tokens of the prompts submitted together.
        tokens: usize,
        /// What the queue takes.
        max_queue_tokens: usize,
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

impl Liveness {
    /// Whether its thread computes what it has.
    fn is_alive(&self) -> bool {
        matches!(self, Liveness::Running | Liveness::Draining)
    }
}

/// Speaks to an engine from any thread; never blocks. When all handles are gone the engine drains.
#[derive(Clone)]
pub struct EngineHandle {
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

/// What requests take of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) continuations: usize,
    /// Tokens of the prompts.
    pub(crate) tokens: usize,
}

impl Demand {
    pub(crate) fn of(requests: &[Request]) -> Demand {
        let one = |request: &Request| Demand {
            continuations: request.continuations.len(),
            tokens: request.prompt.tokens().len(),
        };
        requests.iter().map(one).fold(Demand::default(), Demand::and)
    }

    pub(crate) fn and(self, other: Demand) -> Demand {
        let [continuations, tokens] = [(self.continuations, other.continuations), (self.tokens, other.tokens)]
            .map(|(a, b): (usize, usize)| a.saturating_add(b));
        Demand { continuations, tokens }
    }

    pub(crate) fn without(self, other: Demand) -> Demand {
        let [continuations, tokens] = [(self.continuations, other.continuations), (self.tokens, other.tokens)]
            .map(|(a, b): (usize, usize)| a.saturating_sub(b));
        Demand { continuations, tokens }
    }
}

/// What handles and the engine's thread both see.
pub(crate) struct Shared {
    /// What the queue takes.
    room: Demand,
    block_len: usize,
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    /// A mutex because commands must not enter the channel after the thread has looked into it for the last time: who
    /// submits holds it from the look at `liveness` to the sending, for a few instructions.
    state: Mutex<State>,
    /// A wake is under way: more of them would say nothing new.
    pub(crate) waking: AtomicBool,
    /// What the engine's parts count of their own.
    pub(crate) instruments: Instruments,
    /// Who goes on with what it has when its executor is lost.
    heirs: Mutex<Vec<Heir>>,
}

/// An engine that goes on with what another one has. It lives no longer for that.
struct Heir {
    commands: Sender<Command>,
    shared: Weak<Shared>,
}

/// What changes. The queue is counted here, not by the channel's bound, so that a full queue never loses an abort.
struct State {
    liveness: Liveness,
    /// In the channel.
    sent: Demand,
    /// In the engine's queue.
    queued: Demand,
    stats: EngineStats,
    pace: Pace,
}

impl EngineHandle {
    pub(crate) fn new(commands: Sender<Command>, shared: Arc<Shared>) -> EngineHandle {
        EngineHandle { commands, shared }
    }

    /// Queues a request; its continuations take a place each, and its prompt's tokens count too.
    ///
    /// # Errors
    /// If there is not room enough, or the engine is draining or has failed; the request's sinks are dropped.
    pub fn submit(&self, request: Request) -> Result<(), SubmitError> {
        self.submit_all(vec![request])
    }

    /// Queues several requests, or none of them. If the deadline of one cannot be met, all end as
    /// [`crate::FinishReason::TooLate`] before the next step; else their sinks hear that they are
    /// [admitted](crate::TokenSink::admitted).
    ///
    /// # Errors
    /// As [`EngineHandle::submit`], for all of them together.
    pub fn submit_all(&self, requests: Vec<Request>) -> Result<(), SubmitError> {
        if let Some(heir) = self.heir() {
            return heir.submit_all(requests);
        }
        let (demand, arrived) = (Demand::of(&requests), self.now());
        let mut state = self.shared.lock();
        self.shared.admit(&state, demand)?;
        state.sent = state.sent.and(demand);
        self.send(Command::Submit(requests, arrived));
        Ok(())
    }

    /// Who takes what is submitted, if this engine has failed and others live that go on with what it had: who has the least to do.
    fn heir(&self) -> Option<EngineHandle> {
        let failed = matches!(self.shared.lock().liveness, Liveness::Failed(_));
        let running = |heir: &EngineHandle| heir.liveness() == Liveness::Running;
        if failed { self.shared.heirs().into_iter().find(running) } else { None }
    }

    /// Gives an engine that goes on with another's work some of it, whatever room there is; gives it back if this one has ended too.
    pub(crate) fn inherit(&self, command: Command, demand: Demand) -> Result<(), Command> {
        let mut state = self.shared.lock();
        if !state.liveness.is_alive() {
            return Err(command);
        }
        state.sent = state.sent.and(demand);
        self.send(command);
        Ok(())
    }

    /// Lets these engines go on with what this one has when its executor is [broken](crate::ExecutorError::Broken): requests are computed
    /// again from their tokens, and their receivers see nothing of it but the time that it takes. What is submitted later goes to them too.
    /// All compute the same model, and their clocks show the same time.
    pub fn succeeded_by(&self, others: &[EngineHandle]) {
        let heir =
            |other: &EngineHandle| Heir { commands: other.commands.clone(), shared: Arc::downgrade(&other.shared) };
        *self.shared.heirs.lock().unwrap_or_else(PoisonError::into_inner) = others.iter().map(heir).collect();
    }

    /// Whether a request of so many continuations would be taken now, were its prompt short. It costs next to nothing: ask
    /// before a request's text is read.
    ///
    /// # Errors
    /// As [`EngineHandle::submit`].
    pub fn check_room(&self, continuations: usize) -> Result<(), SubmitError> {
        if let Some(heir) = self.heir() {
            return heir.check_room(continuations);
        }
        self.shared.admit(&self.shared.lock(), Demand { continuations, tokens: 0 })
    }

    /// Whether the queue has room for so many continuations now.
    pub fn has_room(&self, continuations: usize) -> bool {
        self.queue_free() >= continuations
    }

    /// Places in the queue that are free now.
    pub fn queue_free(&self) -> usize {
        self.shared.free(&self.shared.lock()).continuations
    }

    /// How long it takes, at the pace of late, until the queue has room for so many continuations; `None` if too few have
    /// ended to say.
    pub fn room_within(&self, continuations: usize) -> Option<Duration> {
        let state = self.shared.lock();
        state.pace.until(continuations.saturating_sub(self.shared.free(&state).continuations))
    }

    /// The same for so many tokens of prompts, if those that wait are alike.
    pub fn room_for_tokens_within(&self, tokens: usize) -> Option<Duration> {
        let state = self.shared.lock();
        let (free, held) = (self.shared.free(&state).tokens, state.sent.and(state.queued));
        let each = held.tokens.div_ceil(held.continuations.max(1)).max(1);
        state.pace.until(tokens.saturating_sub(free).div_ceil(each))
    }

    /// Places in the queue.
    pub fn max_queue(&self) -> usize {
        self.shared.room.continuations
    }

    /// Tokens of prompts that may wait.
    pub fn max_queue_tokens(&self) -> usize {
        self.shared.room.tokens
    }

    /// Positions in a block of the KV cache.
    pub fn block_len(&self) -> usize {
        self.shared.block_len
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

    /// Gives the engine's memory an order, and says what it looks like then: after the step that is computed now, or never if the
    /// engine has ended.
    pub fn memory(&self, order: MemoryOrder) -> Receiver<MemoryAnswer> {
        let (sender, receiver) = bounded(1);
        self.send(Command::Memory(order, sender));
        receiver
    }

    /// What the policy, the executor and the tier count of their own.
    pub fn instruments(&self) -> &Instruments {
        &self.shared.instruments
    }

    /// Takes blocks of the KV cache away until the time `until` by the engine's clock, so that others can see what comes of it:
    /// see [`crate::Engine::withhold`]. An engine that has nothing to do gives them back when it is next spoken to.
    pub fn withhold(&self, blocks: usize, until: Duration) {
        self.send(Command::Withhold(blocks, until));
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
        // It may have gone on elsewhere.
        self.shared.heirs().iter().for_each(|heir| heir.send(Command::Abort(id)));
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

    /// Continuations that it has or was sent.
    fn load(&self) -> usize {
        let state = self.shared.lock();
        state.sent.continuations + state.stats.waiting + state.stats.running
    }

    fn send(&self, command: Command) {
        // It fails only when the engine's thread has ended, and then there is nothing to command.
        let _ = self.commands.send(command);
    }
}

impl Shared {
    pub(crate) fn new(
        (room, block_len): (Demand, usize),
        clock: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Shared {
        let (stats, pace) = (EngineStats::default(), Pace::default());
        let (sent, queued) = (Demand::default(), Demand::default());
        let state = State { liveness: Liveness::Running, sent, queued, stats, pace };
        let (clock, state, waking) = (Box::new(clock), Mutex::new(state), AtomicBool::new(false));
        let (instruments, heirs) = (Instruments::default(), Mutex::default());
        Shared { room, block_len, clock, state, waking, instruments, heirs }
    }

    /// The engines that live of those that go on with what this one has: who takes requests and has the least to do first. Those that drain
    /// come last.
    pub(crate) fn heirs(&self) -> Vec<EngineHandle> {
        let heirs = self.heirs.lock().unwrap_or_else(PoisonError::into_inner);
        let living = |heir: &Heir| Some(EngineHandle::new(heir.commands.clone(), heir.shared.upgrade()?));
        let mut living: Vec<EngineHandle> = heirs.iter().filter_map(living).collect();
        drop(heirs);
        living.retain(|heir| heir.liveness().is_alive());
        living.sort_by_key(|heir| (heir.liveness() != Liveness::Running, heir.load()));
        living
    }

    pub(crate) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// The counters of the engine, which has taken `taken` from the channel since it was last published and has `queued` in
    /// its queue.
    pub(crate) fn publish(&self, taken: Demand, queued: Demand, stats: EngineStats, pace: Pace) {
        let mut state = self.lock();
        state.sent = state.sent.without(taken);
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
        (state.sent, state.queued) = (Demand::default(), Demand::default());
    }

    fn admit(&self, state: &State, demand: Demand) -> Result<(), SubmitError> {
        match &state.liveness {
            Liveness::Running => {}
            Liveness::Draining | Liveness::Ended => return Err(SubmitError::Draining),
            Liveness::Failed(why) => return Err(SubmitError::Failed(Arc::clone(why))),
        }
        let (Demand { continuations, tokens }, free) = (demand, self.free(state));
        let Demand { continuations: max_queue, tokens: max_queue_tokens } = self.room;
        match () {
            () if continuations > max_queue => Err(SubmitError::TooMany { continuations, max_queue }),
            () if tokens > max_queue_tokens => Err(SubmitError::TooManyTokens { tokens, max_queue_tokens }),
            () if continuations > free.continuations => Err(SubmitError::Full),
            () if tokens > free.tokens => Err(SubmitError::FullOfTokens { tokens, free: free.tokens }),
            () => Ok(()),
        }
    }

    fn free(&self, state: &State) -> Demand {
        self.room.without(state.sent).without(state.queued)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
