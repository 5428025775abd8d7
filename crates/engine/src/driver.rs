//! One plain thread per engine, driven by a channel of commands that takes a bounded number of requests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use crate::{Engine, Executor, Request, RequestId};

/// Everything that can wake an engine.
pub enum Command {
    /// Take a request into the queue.
    Submit(Box<Request>),
    /// End a request now.
    Abort(RequestId),
    /// A receiver that was full has room again.
    Wake,
    /// Take no more requests; end when the last one has.
    Drain,
    /// Abort everything and end.
    Stop,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the queue is full")]
    Full,
    /// The engine takes no more requests.
    #[error("the engine is draining")]
    Draining,
}

/// Counters of an engine at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Requests waiting for their first token.
    pub waiting: usize,
    /// Sequences running.
    pub running: usize,
    /// KV blocks in use.
    pub kv_blocks_used: usize,
    /// KV blocks in all.
    pub kv_blocks: usize,
    /// Steps so far.
    pub steps: u64,
    /// Prompt tokens computed so far.
    pub prompt_tokens: u64,
    /// Tokens generated so far.
    pub generated_tokens: u64,
}

/// The settings of an engine that the executor does not fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Rows computed in a step at most: long prompts are cut to it and go on in later steps.
    pub max_batch_tokens: usize,
    /// Sequences running at once at most.
    pub max_sequences: usize,
    /// Requests queued at most before `Full`.
    pub max_queue: usize,
    /// Longest sequence (prompt and answer).
    pub context: usize,
    /// Seeds requests that bring none.
    pub seed: u64,
}

/// Speaks to an engine from any thread; never blocks. When all handles are gone the engine drains.
#[derive(Clone)]
pub struct EngineHandle {
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

/// What handles and the engine's thread both see.
#[derive(Default)]
struct Shared {
    max_queue: usize,
    /// Requests taken from callers, and those of them that have left the queue; the difference is its length. Counted
    /// here, not by the channel's bound, so that a full queue never loses an abort.
    submitted: AtomicUsize,
    left: AtomicUsize,
    draining: AtomicBool,
    /// A wake is under way: more of them would say nothing new.
    waking: AtomicBool,
    /// A mutex because it is held for a copy, once a step.
    stats: Mutex<EngineStats>,
}

impl EngineHandle {
    /// Queues a request.
    ///
    /// # Errors
    /// If the queue is full or the engine is draining; the request's sinks are dropped.
    pub fn submit(&self, request: Request) -> Result<(), SubmitError> {
        let shared = &self.shared;
        if shared.draining.load(Ordering::SeqCst) {
            return Err(SubmitError::Draining);
        }
        let room = |submitted: usize| {
            let queued = submitted.wrapping_sub(shared.left.load(Ordering::SeqCst));
            (queued < shared.max_queue).then(|| submitted.wrapping_add(1))
        };
        shared.submitted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).map_err(|_| SubmitError::Full)?;
        self.commands.send(Command::Submit(Box::new(request))).map_err(|_| SubmitError::Draining)
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
        self.shared.draining.store(true, Ordering::SeqCst);
        self.send(Command::Drain);
    }

    /// Aborts everything; the engine's thread ends.
    pub fn stop(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
        self.send(Command::Stop);
    }

    /// The counters now.
    pub fn stats(&self) -> EngineStats {
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: Command) {
        // It fails only when the engine's thread has ended, and then there is nothing to command.
        let _ = self.commands.send(command);
    }
}

/// Starts an engine's thread. `clock` gives the time since some fixed moment.
///
/// # Errors
/// If the thread cannot be started.
pub fn spawn(
    executor: impl Executor + 'static,
    config: EngineConfig,
    clock: impl Fn() -> Duration + Send + 'static,
) -> std::io::Result<(EngineHandle, JoinHandle<()>)> {
    let (sender, commands) = unbounded();
    let shared = Arc::new(Shared { max_queue: config.max_queue, ..Shared::default() });
    let handle = EngineHandle { commands: sender, shared: Arc::clone(&shared) };
    let engine = Engine::new(executor, config);
    let driver = Driver { engine, commands, shared, taken: 0, ending: false, stopping: false };
    driver.publish();
    let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || driver.run(clock))?;
    Ok((handle, thread))
}

/// How long the engine sleeps while every receiver is full, before it looks whether one is gone.
const NAP: Duration = Duration::from_millis(20);

/// The engine's thread.
struct Driver<E> {
    engine: Engine<E>,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    /// Requests received so far.
    taken: usize,
    /// To end when idle.
    ending: bool,
    /// To end now.
    stopping: bool,
}

impl<E: Executor> Driver<E> {
    fn run(mut self, clock: impl Fn() -> Duration) {
        let mut computed = true;
        loop {
            self.wait(computed);
            if self.stopping || self.ending && self.engine.is_idle() {
                break;
            }
            computed = self.engine.step(clock()).rows() > 0;
            self.publish();
        }
        // Requests that came too late are answered too.
        self.shared.draining.store(true, Ordering::SeqCst);
        self.obey_all();
        self.engine.abort_all();
        self.publish();
    }

    /// Obeys the commands that have come; waits for one if there is nothing to compute.
    fn wait(&mut self, computed: bool) {
        if self.engine.is_idle() && !self.ending {
            match self.commands.recv() {
                Ok(command) => self.obey(command),
                Err(_) => self.ending = true,
            }
        } else if !computed && let Ok(command) = self.commands.recv_timeout(NAP) {
            self.obey(command);
        }
        self.obey_all();
    }

    fn obey_all(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(error) => {
                    self.ending |= error == TryRecvError::Disconnected;
                    return;
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(request) => {
                self.taken = self.taken.wrapping_add(1);
                self.engine.submit(*request);
            }
            Command::Abort(id) => self.engine.abort(id),
            Command::Wake => self.shared.waking.store(false, Ordering::SeqCst),
            Command::Drain => self.ending = true,
            Command::Stop => self.stopping = true,
        }
    }

    fn publish(&self) {
        self.shared.left.store(self.taken.wrapping_sub(self.engine.queued()), Ordering::SeqCst);
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.stats();
    }
}
