//! Mailboxes: an answer's events from the first on, for whoever reads them, also a second time.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use answer::{Event, Generation, Problem, Relay, Tally};

/// How long the answer to a key is kept after its end.
const RETENTION: Duration = Duration::from_secs(60);

/// Answers that are kept at most.
const MOST: usize = 1024;

/// Events that nobody has read of a stream that is not kept: then it waits, as the engine's own queue does.
const AHEAD: usize = 32;

/// Answers by the keys of their clients.
#[derive(Default)]
pub(super) struct Mailboxes(Mutex<HashMap<String, Arc<Mailbox>>>);

impl Mailboxes {
    /// The answer to a key, if it is still kept.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Mailbox>> {
        let mut all = lock(&self.0);
        all.retain(|_, mailbox| mailbox.is_kept());
        all.get(key).cloned()
    }

    /// Keeps an answer under a key. With too many, one that has ended goes.
    pub(super) fn keep(&self, key: String, mailbox: &Arc<Mailbox>) {
        let mut all = lock(&self.0);
        if all.len() >= MOST {
            let ended = all.iter().find(|(_, mailbox)| mailbox.has_ended()).map(|(key, _)| key.clone());
            ended.into_iter().for_each(|key| _ = all.remove(&key));
        }
        if all.len() < MOST {
            all.insert(key, Arc::clone(mailbox));
        }
    }
}

/// An answer.
pub(super) struct Mailbox {
    state: Mutex<State>,
    /// Nobody need read it for it to go on.
    keyed: bool,
}

#[derive(Default)]
struct State {
    /// How many choices it has, and their tally, once it has begun.
    begun: Option<(usize, Arc<Tally>)>,
    events: Vec<Event>,
    /// Those that somebody has read.
    read: usize,
    end: Option<End>,
    readers: usize,
    /// Whether somebody has read it and nobody does any more.
    left: bool,
    waiting: Vec<Waker>,
}

struct End {
    problem: Option<Problem>,
    time: Instant,
}

impl Mailbox {
    pub(super) fn new(keyed: bool) -> Mailbox {
        Mailbox { state: Mutex::default(), keyed }
    }

    /// The answer from its first event on, when it has begun.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) async fn generation(self: Arc<Mailbox>) -> Result<Generation, Problem> {
        let relay = Reader::new(&self);
        let (choices, tally) = poll_fn(|cx| self.poll_begun(cx)).await?;
        Ok(Generation::relayed(choices, tally, Box::new(relay)))
    }

    /// Reads an answer to its end, or until nobody wants it.
    pub(super) async fn fill(&self, mut generation: Generation) {
        self.change(|state| state.begun = Some((generation.choices(), Arc::clone(generation.tally()))));
        while let Some(next) = poll_fn(|cx| self.poll_next(&mut generation, cx)).await {
            match next {
                Ok(event) => self.change(|state| state.events.push(event)),
                Err(problem) => return self.end(Some(problem)),
            }
        }
        self.end(None);
    }

    /// Nothing more comes; only the first reason counts.
    pub(super) fn end(&self, problem: Option<Problem>) {
        self.change(|state| _ = state.end.get_or_insert(End { problem, time: Instant::now() }));
    }

    fn has_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    fn is_kept(&self) -> bool {
        lock(&self.state).end.as_ref().is_none_or(|end| end.time.elapsed() < RETENTION)
    }

    fn poll_begun(&self, cx: &mut Context<'_>) -> Poll<Result<(usize, Arc<Tally>), Problem>> {
        let mut state = lock(&self.state);
        if let Some(begun) = &state.begun {
            return Poll::Ready(Ok(begun.clone()));
        }
        if let Some(End { problem: Some(problem), .. }) = &state.end {
            return Poll::Ready(Err(problem.clone()));
        }
        state.wait(cx)
    }

    /// The next event of an answer that somebody wants.
    fn poll_next(&self, generation: &mut Generation, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Problem>>> {
        let mut state = lock(&self.state);
        if state.left && !self.keyed {
            return Poll::Ready(None);
        }
        let waits: Poll<Option<Result<Event, Problem>>> = state.wait(cx);
        if state.is_ahead() && !self.keyed {
            return waits;
        }
        drop(state);
        generation.poll_next(cx)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn is_ahead(&self) -> bool {
        self.events.len() >= self.read + AHEAD
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Reads an answer from its first event on.
struct Reader {
    mailbox: Arc<Mailbox>,
    next: usize,
}

impl Reader {
    fn new(mailbox: &Arc<Mailbox>) -> Reader {
        mailbox.change(|state| (state.readers, state.left) = (state.readers + 1, false));
        Reader { mailbox: Arc::clone(mailbox), next: 0 }
    }
}

impl Relay for Reader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Problem>>> {
        let mut state = lock(&self.mailbox.state);
        if let Some(event) = state.events.get(self.next).cloned() {
            self.next += 1;
            let was_ahead = state.is_ahead();
            state.read = state.read.max(self.next);
            let waiting = if was_ahead { std::mem::take(&mut state.waiting) } else { Vec::new() };
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(Ok(event)));
        }
        match &state.end {
            // The problem is told once.
            Some(End { problem: Some(problem), .. }) if self.next == state.events.len() => {
                self.next += 1;
                Poll::Ready(Some(Err(problem.clone())))
            }
            Some(_) => Poll::Ready(None),
            None => state.wait(cx),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.mailbox.change(|state| {
            state.readers -= 1;
            state.left = state.readers == 0;
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
