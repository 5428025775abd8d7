//! What befalls one request: gathered before it reaches the model, and put around what the model answers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use answer::{Ask, Generation};
use engine::{ExecutorError, Interposed};

use super::fault::Over;
use super::late::{Late, Pace};
use super::{Fault, Harm, Subject};
use crate::{Kind, Problem};

/// Called before each batch with the request.
type Before = Box<dyn Fn() -> Result<(), ExecutorError> + Send + Sync>;

/// What befalls a request; by default nothing.
#[derive(Default)]
pub(crate) struct Struck {
    delay: Duration,
    paces: Vec<Pace>,
    before: Vec<Before>,
}

impl Struck {
    /// Adds what this fault does.
    ///
    /// # Errors
    /// If that is an error.
    pub(super) fn add(&mut self, fault: &Fault, subject: &Subject) -> Result<(), Problem> {
        let over = Arc::clone(&fault.over);
        match &fault.harm {
            Harm::Delay(time) => self.delay += *time,
            Harm::Error { status, message, retry_after } => {
                let message = words(message.as_deref(), fault);
                return Err(Problem { retry_after: *retry_after, ..Problem::new(Kind::Injected(*status), message) });
            }
            Harm::Panic => self.before.push(panics(fault, over)),
            Harm::ExecutorFailure(message) => {
                self.before.push(fails(ExecutorError::Batch(words(message.as_deref(), fault)), over));
            }
            Harm::DeviceLoss(message) => {
                self.before.push(fails(ExecutorError::Broken(words(message.as_deref(), fault)), over));
            }
            Harm::SlowExecutor(time) => self.before.push(waits(*time, over)),
            Harm::SlowStream(time) => self.paces.push((*time, over)),
            // Only the first counts.
            Harm::CutStream(after) => _ = subject.head.cut.set(*after),
            Harm::MemoryShortage(_) => {}
        }
        Ok(())
    }

    /// The request as the model gets it.
    pub(crate) fn ask<'a>(&mut self, ask: &'a Ask) -> Cow<'a, Ask> {
        if self.before.is_empty() {
            return Cow::Borrowed(ask);
        }
        let before = std::mem::take(&mut self.before);
        let mut ask = ask.clone();
        ask.service.interposed = Some(Interposed::new(move || before.iter().try_for_each(|before| before())));
        Cow::Owned(ask)
    }

    /// The model's answer as the client gets it.
    pub(crate) fn answer(self, generation: Generation) -> Generation {
        if self.delay.is_zero() && self.paces.is_empty() {
            return generation;
        }
        let (choices, tally) = (generation.choices(), Arc::clone(generation.tally()));
        Generation::relayed(choices, tally, Box::new(Late::new(generation, self.delay, self.paces)))
    }
}

/// What is said of it.
fn words(given: Option<&str>, fault: &Fault) -> String {
    given.map_or_else(|| format!("This is an injected fault ({}).", fault.id), str::to_owned)
}

/// A real panic: what looks after panics sees it.
fn panics(fault: &Fault, over: Arc<Over>) -> Before {
    let message = format!("an injected fault ({})", fault.id);
    Box::new(move || if over.is_over() { Ok(()) } else { std::panic::panic_any(message.clone()) })
}

fn fails(error: ExecutorError, over: Arc<Over>) -> Before {
    Box::new(move || if over.is_over() { Ok(()) } else { Err(error.clone()) })
}

fn waits(time: Duration, over: Arc<Over>) -> Before {
    Box::new(move || {
        over.wait(time);
        Ok(())
    })
}
