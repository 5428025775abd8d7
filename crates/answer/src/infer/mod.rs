//! Whole answers: a request in, what became of it out, awaited on any runtime or waited for.

mod batch;
mod cancel;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub use batch::InferBatch;
pub use cancel::Cancel;
use engine::Priority;

use crate::{Answer, Ask, Generation, Kind, LoadedModel, Problem, Tally};

/// A request for whole answers, and what goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct InferRequest {
    /// What is asked.
    pub ask: Ask,
    /// Comes back with the answer.
    pub metadata: BTreeMap<String, String>,
}

impl InferRequest {
    /// A request as `ask` says, without metadata.
    pub fn new(ask: Ask) -> InferRequest {
        InferRequest { ask, metadata: BTreeMap::new() }
    }

    /// As urgent as this.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> InferRequest {
        self.ask.service.priority = priority;
        self
    }

    /// Complete after so long, or [`Inference::TimedOut`].
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> InferRequest {
        self.ask.service.time_limit = Some(limit);
        self
    }

    /// With a name and a value that come back with the answer.
    #[must_use]
    pub fn with_metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> InferRequest {
        self.metadata.insert(name.into(), value.into());
        self
    }
}

impl From<Ask> for InferRequest {
    fn from(ask: Ask) -> InferRequest {
        InferRequest::new(ask)
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Inference {
    /// Every answer is complete.
    Success(Inferred),
    /// It was cancelled.
    Cancelled(Inferred),
    /// It was not complete, or could not be, within its time limit.
    TimedOut(Inferred, Problem),
    /// It could not be answered.
    Failed(Inferred, Problem),
}

impl Inference {
    /// What there is of the answers: all of them if it was a success.
    pub fn inferred(&self) -> &Inferred {
        match self {
            Inference::Success(inferred)
            | Inference::Cancelled(inferred)
            | Inference::TimedOut(inferred, _)
            | Inference::Failed(inferred, _) => inferred,
        }
    }

    /// The answers, of a success.
    ///
    /// # Errors
    /// Why there are none.
    pub fn success(self) -> Result<Inferred, Problem> {
        match self {
            Inference::Success(inferred) => Ok(inferred),
            Inference::Cancelled(_) => Err(Problem::new(Kind::Draining, "The request was cancelled.")),
            Inference::TimedOut(_, problem) | Inference::Failed(_, problem) => Err(problem),
        }
    }
}

/// Answers, and what they took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inferred {
    /// The answers, as far as they came.
    pub answers: Vec<Answer>,
    /// Tokens of the prompts.
    pub prompt_tokens: usize,
    /// Of these, how many were found in the KV cache.
    pub cached_tokens: usize,
    /// Tokens of the answers.
    pub generated_tokens: usize,
    /// From the request to its first token.
    pub first_token: Option<Duration>,
    /// From the request to its end.
    pub took: Duration,
    /// That of the request.
    pub metadata: BTreeMap<String, String>,
}

impl LoadedModel {
    /// Answers a request. Dropping the future cancels it, as `cancel` does.
    pub async fn infer(&self, request: impl Into<InferRequest>, cancel: &Cancel) -> Inference {
        Running::begin(self, request.into(), cancel).await
    }

    /// Answers many requests, and gives what became of each as it ends, with its place among them. As many are under way as
    /// run at once; the next is begun as there is room. An answer is the same whatever runs beside it.
    pub fn infer_batch<I>(&self, requests: I, cancel: &Cancel) -> InferBatch<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<InferRequest>,
    {
        InferBatch::new(self, requests.into_iter(), cancel)
    }

    /// The same, for threads that wait.
    pub fn blocking(&self) -> Blocking<'_> {
        Blocking(self)
    }
}

/// Infers on the thread that asks, which waits for it.
#[derive(Clone, Copy)]
pub struct Blocking<'m>(&'m LoadedModel);

impl<'m> Blocking<'m> {
    /// As [`LoadedModel::infer`].
    pub fn infer(&self, request: impl Into<InferRequest>, cancel: &Cancel) -> Inference {
        pollster::block_on(self.0.infer(request, cancel))
    }

    /// As [`LoadedModel::infer_batch`], to iterate over.
    pub fn infer_batch<I>(&self, requests: I, cancel: &Cancel) -> impl Iterator<Item = (usize, Inference)> + use<'m, I>
    where
        I: IntoIterator,
        I::Item: Into<InferRequest>,
    {
        let mut batch = self.0.infer_batch(requests, cancel);
        std::iter::from_fn(move || pollster::block_on(batch.next()))
    }
}

/// A request under way.
struct Running {
    cancel: Cancel,
    generation: Result<Generation, Problem>,
    tally: Arc<Tally>,
    answers: Vec<Answer>,
    metadata: BTreeMap<String, String>,
}

impl Running {
    fn begin(model: &LoadedModel, request: InferRequest, cancel: &Cancel) -> Running {
        let InferRequest { ask, metadata } = request;
        let cancelled = || Problem::new(Kind::Draining, "The request was cancelled before it began.");
        let generation = if cancel.is_cancelled() { Err(cancelled()) } else { model.begin(&ask) };
        let (choices, tally) =
            generation.as_ref().map_or_else(|_| (0, Arc::default()), |g| (g.choices(), Arc::clone(g.tally())));
        Running { cancel: cancel.clone(), generation, tally, answers: vec![Answer::default(); choices], metadata }
    }

    /// Why it ends, or `None` if every answer is complete.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Problem>> {
        let generation = match &mut self.generation {
            Ok(generation) => generation,
            Err(problem) => return Poll::Ready(Some(problem.clone())),
        };
        loop {
            match ready!(generation.poll_next(cx)) {
                Some(Ok(event)) => self.answers[event.choice()].add(event),
                Some(Err(problem)) => return Poll::Ready(Some(problem)),
                None => return Poll::Ready(None),
            }
        }
    }

    fn inferred(&mut self) -> Inferred {
        Inferred {
            answers: std::mem::take(&mut self.answers),
            prompt_tokens: self.tally.prompt(),
            cached_tokens: self.tally.cached(),
            generated_tokens: self.tally.generated(),
            first_token: self.tally.first_token(),
            took: self.tally.elapsed(),
            metadata: std::mem::take(&mut self.metadata),
        }
    }
}

impl Future for Running {
    type Output = Inference;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Inference> {
        if self.cancel.poll(cx.waker()) {
            return Poll::Ready(Inference::Cancelled(self.inferred()));
        }
        let end = ready!(self.poll_end(cx));
        let inferred = self.inferred();
        Poll::Ready(match end {
            None => Inference::Success(inferred),
            Some(problem) if matches!(problem.kind, Kind::TimeLimit | Kind::TooLate | Kind::TooLateNow) => {
                Inference::TimedOut(inferred, problem)
            }
            Some(problem) => Inference::Failed(inferred, problem),
        })
    }
}
