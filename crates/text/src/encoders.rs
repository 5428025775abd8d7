//! How a tokenizer uses the machine: threads, what they remember, what was counted.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::fast::{Memo, Memos, Threads};

/// How a tokenizer uses the machine.
#[derive(Clone, Copy, Debug)]
pub struct TokenizerConfig {
    /// Threads that encode batches, long texts and what is asked for with `encode_async`; 1 leaves long texts and batches to
    /// whoever asks.
    pub threads: usize,
    /// Tables of known pieces (2 MB each) that are kept between calls, besides one; further threads at the same time begin with
    /// empty ones.
    pub pool: usize,
    /// How a batch is shared among the threads.
    pub batch: BatchMode,
    /// Called by each of the threads as it starts: a place to lower its priority.
    pub on_start: Option<fn()>,
}

/// How a batch is shared among threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// Text by text; long texts are cut as well.
    #[default]
    Parts,
    /// Text by text.
    Texts,
    /// Not at all: one after another, by whoever asks.
    Serial,
}

impl Default for TokenizerConfig {
    fn default() -> TokenizerConfig {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        TokenizerConfig { threads, pool: threads, batch: BatchMode::default(), on_start: None }
    }
}

/// What a tokenizer has done since it was made or [reset](crate::Tokenizer::reset_statistics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenizerStatistics {
    /// Texts that were encoded.
    pub encodes: u64,
    /// Bytes of text in them.
    pub bytes: u64,
    /// Tokens that came of them.
    pub tokens: u64,
    /// Time that this took, added up over texts: on several threads it passes faster than a clock's.
    pub time: Duration,
    /// Pieces (words, mostly) whose tokens were known from before.
    pub cache_hits: u64,
    /// Pieces that had to be encoded.
    pub cache_misses: u64,
}

impl TokenizerStatistics {
    /// Tokens for each second of [`TokenizerStatistics::time`]; 0 before the first.
    pub fn tokens_per_second(&self) -> f64 {
        let seconds = self.time.as_secs_f64();
        if seconds > 0.0 { self.tokens as f64 / seconds } else { 0.0 }
    }
}

/// Threads, tables and counts of one tokenizer.
#[derive(Debug, Default)]
pub(crate) struct Encoders {
    config: TokenizerConfig,
    memos: Memos,
    /// Started when they are first needed; `None` if the system gives no threads.
    threads: OnceLock<Option<ThreadPool>>,
    encodes: AtomicU64,
    bytes: AtomicU64,
    tokens: AtomicU64,
    nanos: AtomicU64,
}

impl Encoders {
    /// As `config` says.
    pub(crate) fn new(config: TokenizerConfig) -> Encoders {
        Encoders { config, ..Encoders::default() }
    }

    /// How they are set up.
    pub(crate) fn config(&self) -> TokenizerConfig {
        self.config
    }

    /// Encodes texts of so many bytes with `work`, and counts them and the tokens that `tokens` finds.
    pub(crate) fn counted<T>(
        &self,
        (texts, bytes): (usize, usize),
        tokens: impl Fn(&T) -> usize,
        work: impl FnOnce(&mut Memo) -> T,
    ) -> T {
        let begun = Instant::now();
        let made = self.memos.with(self.kept(), work);
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let more = [texts as u64, bytes as u64, tokens(&made) as u64, nanos];
        let counts = [&self.encodes, &self.bytes, &self.tokens, &self.nanos];
        counts.iter().zip(more).for_each(|(count, more)| _ = count.fetch_add(more, Ordering::Relaxed));
        made
    }

    /// Whoever asks has a table while the threads have theirs.
    fn kept(&self) -> usize {
        self.config.pool + 1
    }

    /// The threads, if there is more than one.
    pub(crate) fn shared(&self) -> Option<Threads<'_>> {
        let pool = self.threads().filter(|_| self.config.threads > 1)?;
        Some(Threads { pool, memos: &self.memos, keep: self.kept() })
    }

    /// The threads.
    pub(crate) fn threads(&self) -> Option<&ThreadPool> {
        let start = || {
            let threads = ThreadPoolBuilder::new().num_threads(self.config.threads.max(1));
            let on_start = self.config.on_start;
            let threads = threads.thread_name(|_| "tokenizer".into()).start_handler(move |_| {
                if let Some(start) = on_start {
                    start();
                }
            });
            threads.build().ok()
        };
        self.threads.get_or_init(start).as_ref()
    }

    /// What was counted.
    pub(crate) fn statistics(&self) -> TokenizerStatistics {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (cache_hits, cache_misses) = self.memos.counts();
        TokenizerStatistics {
            encodes: read(&self.encodes),
            bytes: read(&self.bytes),
            tokens: read(&self.tokens),
            time: Duration::from_nanos(read(&self.nanos)),
            cache_hits,
            cache_misses,
        }
    }

    /// Counts anew.
    pub(crate) fn reset(&self) {
        let counts = [&self.encodes, &self.bytes, &self.tokens, &self.nanos];
        counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.memos.reset();
    }
}

/// Tokens that a thread of the tokenizer is working on. Poll it or wait for it, whatever runs the program.
#[derive(Debug)]
pub struct Encoding(Arc<Promise>);

/// What [`Encoding`] waits for.
#[derive(Debug, Default)]
pub(crate) struct Promise {
    state: Mutex<State>,
    kept: Condvar,
}

/// A panic of the thread is one of whoever waits for it.
type Outcome = std::thread::Result<Vec<u32>>;

#[derive(Debug, Default)]
enum State {
    #[default]
    Begun,
    Polled(Waker),
    Done(Outcome),
}

impl Encoding {
    /// One that is not done, and what is to keep it.
    pub(crate) fn begin() -> (Encoding, Arc<Promise>) {
        let promise = Arc::new(Promise::default());
        (Encoding(Arc::clone(&promise)), promise)
    }

    /// Blocks until the tokens are there.
    pub fn wait(self) -> Vec<u32> {
        let waits = |state: &mut State| !matches!(state, State::Done(_));
        let mut state = self.0.kept.wait_while(self.0.state(), waits).unwrap_or_else(PoisonError::into_inner);
        state.take().unwrap_or_default()
    }
}

impl State {
    /// The tokens, once, if they are there.
    fn take(&mut self) -> Option<Vec<u32>> {
        match std::mem::take(self) {
            State::Done(outcome) => Some(outcome.unwrap_or_else(|panic| resume_unwind(panic))),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Promise {
    /// Does the work and gives its tokens to whoever waits.
    pub(crate) fn keep(&self, work: impl FnOnce() -> Vec<u32>) {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let before = std::mem::replace(&mut *self.state(), State::Done(outcome));
        self.kept.notify_all();
        if let State::Polled(waker) = before {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Encoding {
    type Output = Vec<u32>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<u32>> {
        let mut state = self.0.state();
        match state.take() {
            Some(ids) => Poll::Ready(ids),
            None => {
                *state = State::Polled(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
