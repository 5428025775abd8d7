//! A generation: the answers to one request, as a stream of events.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use engine::{Drafts, RequestId};
use text::ToolDelta;

use crate::choice::Choice;
use crate::model::Clock;
use crate::queue::Reader;
use crate::{Answer, Kind, Problem, PromptToken, TokenLogprob};

/// What happens in a generation.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// How likely the prompt was; comes first, and only if it was asked for.
    Prompt {
        /// Whose.
        choice: usize,
        /// Its tokens.
        tokens: Vec<PromptToken>,
    },
    /// More of an answer's text; may be empty where only tokens are new.
    Text {
        /// Whose.
        choice: usize,
        /// Whole characters.
        text: String,
        /// The tokens that begin in it, if log-probabilities were asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// More of what the model thinks before it answers.
    Reasoning {
        /// Whose.
        choice: usize,
        /// Whole characters.
        text: String,
    },
    /// More of a call of a tool.
    ToolCall {
        /// Whose.
        choice: usize,
        /// What is new.
        call: ToolDelta,
    },
    /// An answer has ended.
    Finished {
        /// Which.
        choice: usize,
        /// Why.
        reason: Reason,
        /// The stop string that ended it, if one did.
        stop: Option<String>,
        /// How many tokens it took.
        usage: Usage,
    },
}

impl Event {
    /// Whose event it is.
    pub fn choice(&self) -> usize {
        match self {
            Event::Prompt { choice, .. }
            | Event::Text { choice, .. }
            | Event::Reasoning { choice, .. }
            | Event::ToolCall { choice, .. }
            | Event::Finished { choice, .. } => *choice,
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By a stop token or a stop string.
    Stop,
    /// The most tokens were made.
    Length,
    /// By itself, with calls of tools in it.
    ToolCalls,
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In its prompt.
    pub prompt: usize,
    /// Generated, a stop token included.
    pub generated: usize,
    /// Of these, how many the model thought with before it answered.
    pub reasoning: usize,
}

/// Tokens of a generation so far, and how long they took.
pub struct Tally {
    prompt: usize,
    cached: AtomicUsize,
    generated: AtomicUsize,
    /// Drafted tokens that were computed, and of these accepted.
    drafts: [AtomicUsize; 2],
    clock: Clock,
    began: Duration,
    first: OnceLock<Duration>,
    request: OnceLock<RequestId>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally::new(0, Arc::new(|| Duration::ZERO))
    }
}

impl Tally {
    pub(crate) fn new(prompt: usize, clock: Clock) -> Tally {
        Tally {
            prompt,
            cached: AtomicUsize::new(0),
            generated: AtomicUsize::new(0),
            drafts: Default::default(),
            began: clock(),
            clock,
            first: OnceLock::new(),
            request: OnceLock::new(),
        }
    }

    /// So many tokens of a prompt were found in the KV cache.
    pub(crate) fn found(&self, tokens: usize) {
        self.cached.fetch_add(tokens, Ordering::Relaxed);
    }

    /// Drafted tokens were computed, or accepted.
    pub(crate) fn drafted(&self, drafts: Drafts) {
        self.drafts[0].fetch_add(drafts.computed, Ordering::Relaxed);
        self.drafts[1].fetch_add(drafts.accepted, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) {
        self.generated.fetch_add(1, Ordering::Relaxed);
        self.first.get_or_init(|| self.elapsed());
    }

    /// The engine knows its first prompt by this name.
    pub(crate) fn submitted(&self, request: RequestId) {
        // Only the first counts.
        let _ = self.request.set(request);
    }

    /// The name that the engine knows the first prompt by; none before it is submitted.
    pub fn request(&self) -> Option<RequestId> {
        self.request.get().copied()
    }

    /// Tokens in the prompts.
    pub fn prompt(&self) -> usize {
        self.prompt
    }

    /// Of these, how many were found in the KV cache and not computed; known when the first token of an answer is.
    pub fn cached(&self) -> usize {
        self.cached.load(Ordering::Relaxed)
    }

    /// Tokens that were drafted so far, over all choices.
    pub fn drafts(&self) -> Drafts {
        let [computed, accepted] = [0, 1].map(|at: usize| self.drafts[at].load(Ordering::Relaxed));
        Drafts { computed, accepted }
    }

    /// Tokens generated so far, over all choices.
    pub fn generated(&self) -> usize {
        self.generated.load(Ordering::Relaxed)
    }

    /// Time since the prompts were submitted.
    pub fn elapsed(&self) -> Duration {
        (self.clock)().saturating_sub(self.began)
    }

    /// Time from there to the first token of any choice: waiting and prefill.
    pub fn first_token(&self) -> Option<Duration> {
        self.first.get().copied()
    }
}

/// The answers to one request. Iterating blocks for each event; [`Generation::next_event`] awaits it. Dropping it cancels what is
/// still running. After an error there is nothing more.
pub struct Generation {
    source: Source,
    tally: Arc<Tally>,
    ready: VecDeque<Event>,
}

/// Where events come from.
enum Source {
    Engine(Running),
    Relay(usize, Box<dyn Relay>),
}

/// What an engine says of choices.
struct Running {
    choices: Vec<Choice>,
    /// Those that have not ended.
    running: usize,
    reader: Reader,
}

/// Gives the events of a generation that somebody else reads from its engine. Dropping it says that nobody listens here.
pub trait Relay: Send {
    /// As [`Generation::poll_next`].
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Problem>>>;
}

impl Generation {
    pub(crate) fn new(choices: Vec<Choice>, tally: Arc<Tally>, reader: Reader) -> Generation {
        let running = Running { running: choices.len(), choices, reader };
        Generation { source: Source::Engine(running), tally, ready: VecDeque::new() }
    }

    /// One of so many answers that is read elsewhere, with its tally.
    pub fn relayed(choices: usize, tally: Arc<Tally>, relay: Box<dyn Relay>) -> Generation {
        Generation { source: Source::Relay(choices, relay), tally, ready: VecDeque::new() }
    }

    /// What is known before the engine says anything: `event`, and for each answer that has ended its end.
    pub(crate) fn begin_with(&mut self, event: Event) {
        if let (Source::Engine(running), Event::Finished { .. }) = (&mut self.source, &event) {
            running.running -= 1;
        }
        self.ready.push_back(event);
    }

    /// How many answers there are.
    pub fn choices(&self) -> usize {
        match &self.source {
            Source::Engine(running) => running.choices.len(),
            Source::Relay(choices, _) => *choices,
        }
    }

    /// Tokens so far; it goes on counting while the generation runs.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Waits until the engine has taken the request or refused it, which takes a step at most; events are not lost.
    ///
    /// # Errors
    /// If it is refused: it would be late.
    pub async fn admitted(&mut self) -> Result<(), Problem> {
        let Source::Engine(running) = &mut self.source else { return Ok(()) };
        if running.running == 0 || !self.ready.is_empty() || poll_fn(|cx| running.reader.poll_admitted(cx)).await {
            return Ok(());
        }
        if let Some(event) = self.next_event().await {
            self.ready.push_front(event?);
        }
        Ok(())
    }

    /// Waits for the first event, which is not lost.
    ///
    /// # Errors
    /// If the engine fails or stops before there is one.
    pub async fn begun(&mut self) -> Result<(), Problem> {
        if self.ready.is_empty() {
            let first = self.next_event().await.transpose()?;
            self.ready.extend(first);
        }
        Ok(())
    }

    /// The next event; `None` when every choice has ended.
    ///
    /// # Errors
    /// If the engine fails or stops.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Problem>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            match &mut self.source {
                Source::Relay(_, relay) => return relay.poll_next(cx),
                Source::Engine(running) if running.running == 0 => return Poll::Ready(None),
                Source::Engine(running) => {
                    if let Err(problem) = ready!(running.poll(cx, &self.tally, &mut self.ready)) {
                        return Poll::Ready(Some(Err(problem)));
                    }
                }
            }
        }
    }

    /// The next event, awaited on any runtime.
    ///
    /// # Errors
    /// As [`Generation::poll_next`].
    pub async fn next_event(&mut self) -> Option<Result<Event, Problem>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All answers, whole; blocks until the last one has ended.
    ///
    /// # Errors
    /// As [`Generation::poll_next`].
    pub fn wait(&mut self) -> Result<Vec<Answer>, Problem> {
        pollster::block_on(self.whole())
    }

    /// All answers, whole.
    ///
    /// # Errors
    /// As [`Generation::poll_next`].
    pub async fn whole(&mut self) -> Result<Vec<Answer>, Problem> {
        let mut answers = vec![Answer::default(); self.choices()];
        while let Some(event) = self.next_event().await {
            let event = event?;
            answers[event.choice()].add(event);
        }
        Ok(answers)
    }
}

impl Running {
    /// Takes what the engine says next.
    fn poll(&mut self, cx: &mut Context<'_>, tally: &Tally, ready: &mut VecDeque<Event>) -> Poll<Result<(), Problem>> {
        let (choice, heard) = ready!(self.reader.poll(cx));
        let gone = || Problem::new(Kind::Failed, "The engine ended before the answer did.");
        let ended = heard.ok_or_else(gone).and_then(|event| self.choices[choice].take(event, tally, ready));
        Poll::Ready(match ended {
            Ok(false) => Ok(()),
            Ok(true) => {
                // It says nothing more: if it still runs (a stop string ended it), it is cancelled.
                self.running -= 1;
                self.reader.close(choice);
                Ok(())
            }
            Err(problem) => {
                (0..self.choices.len()).for_each(|choice| self.reader.close(choice));
                self.running = 0;
                Err(problem)
            }
        })
    }
}

impl Iterator for Generation {
    type Item = Result<Event, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        pollster::block_on(self.next_event())
    }
}
