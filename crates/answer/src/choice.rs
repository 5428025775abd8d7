//! One of the answers of a generation: from what the engine says to events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use engine::{Expected, FinishReason, TokenEvent, TooLate};
use text::Part;

use crate::pipeline::{Pipeline, Released};
use crate::{Event, Kind, Problem, Reason, Tally, TokenLogprob, Usage};

/// An answer being made.
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) pipeline: Pipeline,
    /// End the answer and have no text.
    pub(crate) stop_tokens: Arc<[u32]>,
    /// Tokens whose text has not come as text yet.
    pub(crate) pending: Vec<TokenLogprob>,
    /// A tool was called.
    pub(crate) called: bool,
    pub(crate) usage: Usage,
    /// What is told of the prompt once it is scored.
    pub(crate) scored: Scored,
}

/// What is told of a prompt that is scored.
#[derive(Clone, Default)]
pub(crate) struct Scored {
    pub(crate) tokens: Arc<[u32]>,
    /// The text that the answer begins with, and how many alternatives of each token are told with it.
    pub(crate) echo: Option<(String, usize)>,
    /// How many alternatives of each token are told by themselves.
    pub(crate) alternatives: Option<usize>,
}

impl Choice {
    pub(crate) fn new(index: usize, pipeline: Pipeline, stop_tokens: Arc<[u32]>, prompt: usize) -> Choice {
        let usage = Usage { prompt, ..Usage::default() };
        Choice { index, pipeline, stop_tokens, pending: Vec::new(), called: false, usage, scored: Scored::default() }
    }

    /// Takes what the engine says and adds what comes of it to `out`; true at the end.
    pub(crate) fn take(
        &mut self,
        event: TokenEvent,
        tally: &Tally,
        out: &mut VecDeque<Event>,
    ) -> Result<bool, Problem> {
        let finish = match event {
            TokenEvent::Token(token) => {
                tally.count();
                self.usage.generated += 1;
                let ends = self.stop_tokens.contains(&token.id);
                let released = if ends { self.pipeline.end_token(token.id) } else { self.pipeline.push(token) };
                return Ok(self.release(released, Reason::Stop, out));
            }
            TokenEvent::Prompt(scores) => {
                let Scored { tokens, echo, alternatives } = std::mem::take(&mut self.scored);
                let choice = self.index;
                out.extend(alternatives.map(|most| {
                    let tokens = self.pipeline.scored(&tokens, &scores, most);
                    Event::Prompt { choice, tokens }
                }));
                out.extend(echo.map(|(text, most)| {
                    let logprobs = self.pipeline.prompt(&text, &tokens, (&scores, most));
                    Event::Text { choice, text, logprobs }
                }));
                return Ok(false);
            }
            TokenEvent::Finished(finish) => finish,
        };
        let reason = reason(finish.reason)?;
        let mut released = self.pipeline.finish();
        released.ended = true;
        Ok(self.release(released, reason, out))
    }

    /// Tells what was released, and the end if it was one.
    fn release(&mut self, released: Released, reason: Reason, out: &mut VecDeque<Event>) -> bool {
        self.pending.extend(released.logprobs);
        for part in released.parts {
            let event = self.event(part);
            out.push_back(event);
        }
        if released.ended {
            let (choice, logprobs) = (self.index, std::mem::take(&mut self.pending));
            if !logprobs.is_empty() {
                out.push_back(Event::Text { choice, text: String::new(), logprobs });
            }
            let reason = if self.called && reason == Reason::Stop { Reason::ToolCalls } else { reason };
            let stop = self.pipeline.stop().filter(|_| reason == Reason::Stop).map(str::to_owned);
            out.push_back(Event::Finished { choice, reason, stop, usage: self.usage });
        }
        released.ended
    }

    /// Tokens belong to the text that they begin; those of reasoning and calls are not reported.
    fn event(&mut self, part: Part) -> Event {
        let (choice, logprobs) = (self.index, std::mem::take(&mut self.pending));
        match part {
            Part::Text(text) => Event::Text { choice, text, logprobs },
            Part::Reasoning(text) => {
                self.usage.reasoning = self.usage.generated;
                Event::Reasoning { choice, text }
            }
            Part::ToolCall(call) => {
                self.called = true;
                Event::ToolCall { choice, call }
            }
        }
    }
}

fn reason(reason: FinishReason) -> Result<Reason, Problem> {
    match reason {
        FinishReason::Stop(_) | FinishReason::Complete => Ok(Reason::Stop),
        FinishReason::Length => Ok(Reason::Length),
        FinishReason::Aborted | FinishReason::Cancelled => {
            Err(Problem::new(Kind::Draining, "The model was stopped before the answer was complete."))
        }
        FinishReason::Deadline => {
            let message = "The answer was not complete in the time that the request gave it (deadline_ms or \
                           X-Request-Timeout-Ms). Give it more, ask for less, or try again when less is going on.";
            Err(Problem::new(Kind::TimeLimit, message))
        }
        FinishReason::TooLate(late) => Err(too_late(&late)),
        FinishReason::Failed(why) => {
            Err(Problem::new(Kind::Internal, format!("The model could not be computed: {why}")))
        }
        FinishReason::Unavailable(why) => {
            Err(Problem::new(Kind::Unavailable, format!("The answer was not completed: {why}. Try again.")))
        }
    }
}

/// The answer would come after its deadline.
fn too_late(late: &TooLate) -> Problem {
    let seconds = |time: Duration| time.as_secs_f64();
    let Expected { least, likely, most } = late.expected.first_token;
    let (waiting, prompt, limit) = (late.waiting, late.prompt, seconds(late.limit));
    let expected = format!(
        "Its first token is expected after {:.1} s (nine in ten: {:.1} to {:.1} s) and its last after {:.1} s or later, but its \
         deadline leaves {limit:.1} s; {waiting} requests wait, {prompt} tokens of its prompt are to be computed.",
        seconds(likely),
        seconds(least),
        seconds(most),
        seconds(late.expected.soonest),
    );
    match late.retry_after() {
        Some(after) => {
            let message = format!(
                "The answer would be late. {expected} Try again in about {:.0} seconds.",
                seconds(after).ceil()
            );
            Problem { retry_after: Some(after), ..Problem::new(Kind::TooLateNow, message) }
        }
        None => {
            let message = format!("The answer would be late even if nothing else ran. {expected} Allow more time.");
            Problem::new(Kind::TooLate, message)
        }
    }
}
