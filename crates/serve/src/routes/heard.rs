//! Hears an answer on its way to the client, whatever the dialect, and tells the route how it went.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use answer::{Answer, Ask, Event, Generation, Input, Problem, Reason, Relay};
use serde_json::Value;

use super::Pass;
use super::pass::How;
use crate::App;

/// Bytes of an answer that are kept to be judged, at most.
const KEPT: usize = 1 << 16;

/// The tail of an answer that is looked at for repetition, in bytes, and how often something has to come there.
const TAIL: usize = 240;
const TIMES: usize = 6;

/// The same generation; the route hears of it.
pub(crate) fn hear(app: &Arc<App>, generation: Generation, pass: Pass, ask: &Ask) -> Generation {
    let (choices, tally) = (generation.choices(), generation.tally().clone());
    // One answer is compared with one.
    let mirrored = (pass.is_mirrored() && choices == 1).then(|| Box::new(ask.clone()));
    let heard = Heard {
        app: Arc::downgrade(app),
        generation,
        pass,
        answers: vec![Answer::default(); choices],
        demand: Demand::of(ask),
        mirrored,
    };
    Generation::relayed(choices, tally, Box::new(heard))
}

struct Heard {
    app: Weak<App>,
    generation: Generation,
    pass: Pass,
    answers: Vec<Answer>,
    demand: Demand,
    /// What was asked, if the candidate is to see it too.
    mirrored: Option<Box<Ask>>,
}

impl Relay for Heard {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Problem>>> {
        let event = ready!(self.generation.poll_next(cx));
        match &event {
            Some(Ok(event)) => self.add(event),
            Some(Err(problem)) => {
                let failed = !super::pass::is_request(&problem.clone().into());
                self.pass.end(&How { failed, ..self.how() });
            }
            None => {
                let quality = self.demand.quality(&self.answers);
                self.pass.end(&How { quality, ..self.how() });
                self.mirror();
            }
        }
        Poll::Ready(event)
    }
}

impl Heard {
    /// The candidate sees it too, as far as it is kept whole.
    fn mirror(&mut self) {
        let Some((ask, app)) = self.mirrored.take().zip(self.app.upgrade()) else { return };
        let answer = self.answers.pop().filter(|answer| answer.text.len() < KEPT);
        if let Some(answer) = answer {
            self.pass.mirror(&app, *ask, answer);
        }
    }

    fn add(&mut self, event: &Event) {
        let answer = &mut self.answers[event.choice()];
        // What is judged is the text; numbers and prompts may be large.
        match event {
            Event::Prompt { .. } => {}
            Event::Text { choice, text, .. } if answer.text.len() < KEPT => {
                answer.add(Event::Text { choice: *choice, text: text.clone(), logprobs: Vec::new() });
            }
            Event::Reasoning { .. } if answer.reasoning.is_empty() => answer.add(event.clone()),
            Event::Text { .. } | Event::Reasoning { .. } => {}
            Event::ToolCall { .. } | Event::Finished { .. } => answer.add(event.clone()),
        }
    }

    fn how(&self) -> How {
        let tally = self.generation.tally();
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        How {
            failed: false,
            prompt: tally.prompt() as u64,
            first_token: tally.first_token().map(micros),
            total: micros(tally.elapsed()),
            tokens: tally.generated() as u64,
            quality: None,
        }
    }
}

/// What was demanded of an answer, as far as it can be checked.
#[derive(Clone, Copy, Debug, Default)]
struct Demand {
    /// It is JSON.
    json: bool,
    /// It goes on with a text: it may be empty, and end anywhere.
    free: bool,
}

impl Demand {
    fn of(ask: &Ask) -> Demand {
        let asked = ask.constrained.as_ref().map(|constrained| &constrained.constraint);
        let json = matches!(asked, Some(answer::Constraint::JsonSchema(_)));
        let texts = matches!(ask.input, Input::Prompts { .. });
        Demand { json, free: texts || ask.ending.max_tokens == Some(0) }
    }

    /// How good the answers look, from 0 to 1: the worst of them.
    fn quality(self, answers: &[Answer]) -> Option<f64> {
        answers.iter().map(|answer| self.quality_of(answer)).min_by(f64::total_cmp)
    }

    fn quality_of(self, answer: &Answer) -> f64 {
        let text = answer.text.trim();
        let empty = answer.is_empty() && !self.free;
        let broken = self.json && answer.calls.is_empty() && text.len() < KEPT && !is_json(text);
        let calls = answer.calls.iter().all(|call| !call.name.is_empty() && is_json(&call.arguments));
        match answer.reason == Some(Reason::Length) && !self.free {
            _ if empty || broken || !calls || repeats(text) => 0.0,
            // It might have been good in the end.
            true => 0.5,
            false => 1.0,
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// Whether a text ends in the same few words again and again.
fn repeats(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(tail) = bytes.len().checked_sub(TAIL).map(|at| &bytes[at..]) else { return false };
    (1..=TAIL / TIMES).any(|period| tail.iter().zip(&tail[period..]).all(|(one, next)| one == next))
}

#[cfg(test)]
mod tests {
    use answer::{Chat, Constrained, Constraint, ToolCall};

    use super::*;

    fn said(text: &str) -> Answer {
        Answer { text: text.to_owned(), reason: Some(Reason::Stop), ..Answer::default() }
    }

    #[test]
    fn answers_are_judged_by_what_was_demanded() {
        let chat = Ask::new(Input::Chat(Chat::new(Value::Null)));
        let schema = serde_json::json!({ "type": "object" });
        let constrained =
            Some(Constrained { constraint: Constraint::JsonSchema(schema), param: "response_format".to_owned() });
        let json = Ask { constrained, ..chat.clone() };
        let text = Ask::new(Input::text("a"));
        let call = |arguments: &str| {
            let calls = vec![ToolCall { name: "look".to_owned(), arguments: arguments.to_owned() }];
            Answer { calls, ..said("") }
        };
        let check = |ask: &Ask, answer: Answer, wanted: f64| {
            let quality = Demand::of(ask).quality(std::slice::from_ref(&answer));
            assert_eq!(quality, Some(wanted), "{answer:?}");
        };
        check(&chat, said("Good day."), 1.0);
        check(&chat, said(""), 0.0);
        check(&text, said(""), 1.0);
        check(&json, said("{\"a\": 1}"), 1.0);
        check(&json, said("{\"a\": "), 0.0);
        check(&chat, Answer { reason: Some(Reason::Length), ..said("Good") }, 0.5);
        check(&text, Answer { reason: Some(Reason::Length), ..said("Good") }, 1.0);
        check(&chat, call("{}"), 1.0);
        check(&chat, call("{"), 0.0);
        check(&chat, said(&"and so on, ".repeat(60)), 0.0);
        check(&chat, said(&(0..400).map(|n| format!("{n} ")).collect::<String>()), 1.0);
    }

    #[test]
    fn the_worst_of_several_counts() {
        let chat = Ask::new(Input::Chat(Chat::new(Value::Null)));
        assert_eq!(Demand::of(&chat).quality(&[said("a"), said("")]), Some(0.0));
        assert_eq!(Demand::of(&chat).quality(&[]), None);
    }
}
