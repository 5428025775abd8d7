//! An answer as it comes: to the screen, and what is said of it afterwards.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use whinchat::{Answer, Event, Generation, Reason};

use crate::terminal::Screen;

/// What the model said.
#[derive(Default)]
pub(super) struct Said {
    /// The answer; without a reason if it was stopped.
    pub(super) answer: Answer,
    prompt_tokens: usize,
    tokens: usize,
    /// Until its first token, and in all.
    first: Duration,
    all: Duration,
}

impl Said {
    /// Receives an answer and shows it. `stoppable`: Ctrl-C ends it, and what came of it counts; else Ctrl-C ends the program
    /// as ever.
    pub(super) fn receive(mut generation: Generation, runtime: &Runtime, stoppable: bool) -> anyhow::Result<Said> {
        let started = Instant::now();
        let mut said = Said::default();
        let mut screen = Screen::chat();
        while let Some(event) = runtime.block_on(next(&mut generation, stoppable)) {
            if said.first.is_zero() {
                said.first = started.elapsed();
            }
            said.take(event?, &mut screen)?;
        }
        // Calls are shown when they are whole.
        said.answer.calls.iter().try_for_each(|call| screen.call(call))?;
        screen.end()?;
        (said.prompt_tokens, said.tokens) = (generation.tally().prompt(), generation.tally().generated());
        said.all = started.elapsed();
        Ok(said)
    }

    fn take(&mut self, event: Event, screen: &mut Screen) -> anyhow::Result<()> {
        match &event {
            Event::Text { text, .. } if !text.is_empty() => screen.text(text)?,
            Event::Reasoning { text, .. } => screen.reasoning(text)?,
            _ => {}
        }
        self.answer.add(event);
        Ok(())
    }

    /// Whether it was stopped before anything came.
    pub(super) fn is_nothing(&self) -> bool {
        self.answer.reason.is_none() && self.answer.is_empty()
    }

    /// The line about speed.
    pub(super) fn timings(&self, context: usize) -> String {
        let Said { prompt_tokens, tokens, first, all, .. } = *self;
        let (first, rest) = (first.as_secs_f64(), all.saturating_sub(first).as_secs_f64());
        // Where they were all there when the first was shown, the time of the prompt counts too.
        let rate =
            if rest > 1e-3 { (tokens.max(1) - 1) as f64 / rest } else { tokens as f64 / all.as_secs_f64().max(1e-9) };
        let rate = (tokens > 1).then(|| format!(", {rate:.1} tok/s"));
        let plural = if tokens == 1 { "" } else { "s" };
        format!(
            "{tokens} token{plural}{}, the first after {first:.2} s; context {} of {context}",
            rate.unwrap_or_default(),
            prompt_tokens + tokens
        )
    }

    /// What to say if the answer was not ended by the model.
    pub(super) fn cut(&self, context: usize) -> Option<String> {
        let full = self.prompt_tokens + self.tokens >= context;
        match self.answer.reason {
            None => Some("stopped; what came stays in the conversation".into()),
            Some(Reason::Length) if full => Some(format!(
                "the context of {context} tokens is full and the answer cut off; /undo, /clear or a larger --context"
            )),
            Some(Reason::Length) => {
                Some(format!("cut off after {} tokens; /set max-tokens allows more", self.answer.usage.generated))
            }
            Some(Reason::Stop | Reason::ToolCalls) => None,
        }
    }
}

/// The next event; none at the end of the answer and, if `stoppable`, at Ctrl-C.
async fn next(generation: &mut Generation, stoppable: bool) -> Option<Result<Event, whinchat::Error>> {
    let event = async { generation.next_event().await.map(|event| event.map_err(whinchat::Error::from)) };
    if !stoppable {
        return event.await;
    }
    tokio::select! {
        event = event => event,
        _ = tokio::signal::ctrl_c() => None,
    }
}
