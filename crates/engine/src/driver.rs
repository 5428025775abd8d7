//! One plain thread per engine, driven by a channel of commands. Whatever happens on it, handles are told the truth.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, unbounded};

use crate::handle::{Command, Demand, EngineHandle, Liveness, Shared};
use crate::pace::Pace;
use crate::panics::catch;
use crate::{Engine, Executor, Observer, Setup};

/// Starts an engine's thread. `clock` gives the time since some fixed moment; `observer` hears, on the engine's thread,
/// what happens.
///
/// # Errors
/// If the thread cannot be started.
pub fn spawn(
    executor: impl Executor + 'static,
    setup: impl Into<Setup>,
    clock: impl Fn() -> Duration + Send + Sync + 'static,
    observer: impl Observer + 'static,
) -> std::io::Result<(EngineHandle, JoinHandle<()>)> {
    let (sender, commands) = unbounded();
    let setup = setup.into();
    let config = setup.config;
    let room = Demand { continuations: config.max_queue, tokens: config.max_queue_tokens };
    let shared = Arc::new(Shared::new((room, executor.limits().block_len), clock));
    let handle = EngineHandle::new(sender, Arc::clone(&shared));
    let mut engine = Engine::of(executor, setup, observer);
    engine.register(&shared.instruments);
    let mut driver = Driver {
        engine,
        commands,
        shared,
        taken: Demand::default(),
        pace: Pace::default(),
        ending: false,
        stopping: false,
    };
    driver.publish();
    let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || driver.run())?;
    Ok((handle, thread))
}

/// How long the engine sleeps while every receiver is full, before it looks whether one is gone.
const NAP: Duration = Duration::from_millis(20);

/// The engine's thread.
struct Driver<E> {
    engine: Engine<E>,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    /// Received since the last publishing.
    taken: Demand,
    pace: Pace,
    /// To end when idle.
    ending: bool,
    /// To end now.
    stopping: bool,
}

impl<E: Executor> Driver<E> {
    fn run(mut self) {
        let failure = match catch(|| self.work()) {
            Ok(()) => self.engine.failure().cloned(),
            Err(message) => Some(format!("the engine panicked: {message}").into()),
        };
        self.shared.end(failure.clone().map_or(Liveness::Ended, Liveness::Failed));
        for (migrant, turn) in self.engine.take_leaving().into_iter().zip(0..) {
            self.hand_over(Command::Adopt(Box::new(migrant)), Demand::default(), turn);
        }
        if let Some(why) = failure {
            self.engine.give_up(why);
        }
        // Requests that came too late are answered too.
        self.obey_all();
        self.engine.abort_all();
        self.publish();
    }

    fn work(&mut self) {
        let mut computed = true;
        loop {
            self.wait(computed);
            if self.stopping || self.ending && self.engine.is_idle() {
                return;
            }
            self.engine.has_heirs(!self.shared.heirs().is_empty());
            let report = self.engine.step(&|| self.shared.now());
            self.pace.learn(&report);
            computed = report.rows() > 0;
            self.publish();
            if self.engine.failure().is_some() {
                return;
            }
        }
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
            Command::Submit(requests, arrived) => {
                let demand = Demand::of(&requests);
                self.taken = self.taken.and(demand);
                self.hand_over(Command::Submit(requests, arrived), demand, 0);
            }
            Command::Adopt(migrant) => self.hand_over(Command::Adopt(migrant), Demand::default(), 0),
            Command::Abort(id) => self.engine.abort(id),
            // Who asked may be gone.
            Command::View(asked) => _ = asked.send(self.engine.view(self.shared.now())),
            Command::Save(tokens, salt, asked) => _ = asked.send(self.engine.save_prefix(&tokens, salt)),
            Command::Restore(saved, asked) => _ = asked.send(self.engine.restore_prefix(&saved)),
            Command::Memory(order, asked) => _ = asked.send(self.engine.memory(&order)),
            Command::Withhold(blocks, until) => self.engine.withhold(blocks, until),
            Command::Wake => self.shared.waking.store(false, Ordering::SeqCst),
            Command::Drain => self.ending = true,
            Command::Stop => self.stopping = true,
        }
    }

    /// Begins what was submitted, or goes on with it; an engine that has failed lets others do that, if there are any: the first of those who
    /// have the least to do, or the next, by whose turn it is.
    fn hand_over(&mut self, mut command: Command, demand: Demand, turn: usize) {
        if self.engine.failure().is_some() {
            let mut heirs = self.shared.heirs();
            let first = turn % heirs.len().max(1);
            heirs.rotate_left(first);
            for heir in heirs {
                match heir.inherit(command, demand) {
                    Ok(()) => return,
                    Err(refused) => command = refused,
                }
            }
        }
        match command {
            Command::Submit(requests, arrived) => self.engine.submit_all(requests, arrived),
            Command::Adopt(migrant) => self.engine.adopt(*migrant),
            other => self.obey(other),
        }
    }

    fn publish(&mut self) {
        let (continuations, tokens) = (self.engine.queued(), self.engine.queued_tokens());
        let queued = Demand { continuations, tokens };
        self.shared.publish(std::mem::take(&mut self.taken), queued, self.engine.stats(), self.pace);
    }
}

impl<E> Drop for Driver<E> {
    /// Reached with work left only if ending failed too; the sinks that are dropped with the engine say the rest.
    fn drop(&mut self) {
        self.shared.end(Liveness::Failed("the engine's thread ended unexpectedly".into()));
        self.shared.empty();
    }
}
