//! `POST /v1/completions`.

use answer::{Answer, Event, Input, Kind, LoadedModel, Problem, PromptText, Tally, TokenLogprob};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::error;
use super::logprobs::{PromptLogprobs, TextLogprobs, prompt_logprobs};
use super::reply::{Head, Usage, finish_reason};
use super::request::{self, Delivery, tokens};
use crate::wire::fields::{self, Fields, check_length, wrong_type};
use crate::wire::known;
use crate::wire::logprobs::MAX_LOGPROBS;
use crate::wire::{Call, Dialect, Frame};

/// Prompts in a request at most.
const MAX_PROMPTS: usize = 1024;

/// Tokens of an answer where the request does not say (OpenAI's own).
const MAX_TOKENS: usize = 16;

/// The form of a completion's answer.
pub(crate) struct Completion {
    head: Head,
    logprobs: bool,
    delivery: Delivery,
}

impl Dialect for Completion {
    fn parse(body: &[u8]) -> Result<Call<Completion>, crate::Problem> {
        let map = fields::object(body)?;
        let fields = Fields::of(&known::COMPLETIONS, &map)?;
        let logprobs = logprobs(fields)?;
        let (ask, delivery) = request::ask(fields, input(fields)?, logprobs, (0, Some(MAX_TOKENS)))?;
        let head = Head::new("cmpl", "text_completion", "");
        let dialect = Completion { head, logprobs: logprobs.is_some(), delivery };
        Ok(Call {
            model: request::model(fields)?,
            ask: Some(ask),
            keep_alive: None,
            stream: delivery.streams(),
            dialect,
        })
    }

    fn answered_by(&mut self, name: &str, _: &LoadedModel, _: usize) {
        self.head.model = name.to_owned();
    }

    fn id(&self) -> Option<&str> {
        Some(self.head.id())
    }

    fn whole(self, answers: Vec<Answer>, tally: &Tally) -> Response {
        let choice = |(index, answer): (usize, Answer)| {
            let finish_reason = answer.reason.map(finish_reason);
            let prompt_logprobs = prompt_logprobs(&answer.prompt);
            let logprobs = self.logprobs(&answer.logprobs);
            Choice { index, text: answer.text, logprobs, finish_reason, prompt_logprobs }
        };
        self.head.whole(answers.into_iter().enumerate().map(choice).collect(), None, tally)
    }

    fn event(&mut self, event: Event, _: &Tally) -> Vec<Frame> {
        let index = event.choice();
        let choice = match event {
            Event::Text { text, logprobs, .. } => {
                Choice { text, logprobs: self.logprobs(&logprobs), ..Choice::empty(index) }
            }
            Event::Finished { reason, .. } => {
                Choice { finish_reason: Some(finish_reason(reason)), ..Choice::empty(index) }
            }
            // A completion has no dialect that would separate them; prompts are told of in whole answers.
            Event::Prompt { .. } | Event::Reasoning { .. } | Event::ToolCall { .. } => return Vec::new(),
        };
        vec![self.head.chunk(vec![choice], self.delivery.usage().then_some(None))]
    }

    fn end(&mut self, tally: &Tally) -> Vec<Frame> {
        let usage = self.delivery.usage().then(|| self.head.chunk(Vec::<Choice>::new(), Some(Some(Usage::of(tally)))));
        usage.into_iter().chain([Frame::data("[DONE]")]).collect()
    }

    fn failure(&mut self, problem: &crate::Problem) -> Vec<Frame> {
        vec![Frame::json(&error::body(problem)), Frame::data("[DONE]")]
    }

    fn problem(problem: &crate::Problem) -> Response {
        error::problem(problem)
    }
}

impl Completion {
    fn logprobs(&self, tokens: &[TokenLogprob]) -> Option<TextLogprobs> {
        self.logprobs.then(|| TextLogprobs::new(tokens))
    }
}

/// A choice, whole or a part of it.
#[derive(Debug, Serialize)]
struct Choice {
    index: usize,
    text: String,
    logprobs: Option<TextLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<PromptLogprobs>,
}

impl Choice {
    fn empty(index: usize) -> Choice {
        Choice { index, text: String::new(), logprobs: None, finish_reason: None, prompt_logprobs: None }
    }
}

fn input(fields: Fields<'_>) -> Result<Input, Problem> {
    let items = texts("prompt", fields.required("prompt")?, MAX_PROMPTS)?;
    let parse_special = fields.bool("parse_special")?.unwrap_or(false);
    let suffix = fields.string("suffix")?.map(str::to_owned);
    Ok(Input::Prompts { items, echo: fields.bool("echo")?.unwrap_or(false), parse_special, suffix })
}

fn logprobs(fields: Fields<'_>) -> Result<Option<usize>, Problem> {
    let count = fields.integer("logprobs", 0..=MAX_LOGPROBS)?;
    Ok(count.and_then(|count| usize::try_from(count).ok()))
}

/// At most so many texts. A string is one; token ids are one; strings and arrays of token ids are one each.
pub(crate) fn texts(param: &str, value: &Value, most: usize) -> Result<Vec<PromptText>, Problem> {
    let items = match value {
        Value::String(text) => return Ok(vec![PromptText::Text(text.clone())]),
        Value::Array(items) => items,
        other => return Err(wrong_type(param, "a string, an array of strings or token ids", other)),
    };
    match &items[..] {
        [] => {
            let message = format!("{param} is an empty array. Write at least one {param}.");
            Err(Problem::of(Kind::InvalidValue, param, message))
        }
        [Value::Number(_), ..] => Ok(vec![PromptText::Tokens(tokens(param, items)?)]),
        _ => {
            check_length(param, items.len(), most)?;
            items.iter().enumerate().map(|(i, item)| one(&format!("{param}[{i}]"), item)).collect()
        }
    }
}

fn one(param: &str, item: &Value) -> Result<PromptText, Problem> {
    match item {
        Value::String(text) => Ok(PromptText::Text(text.clone())),
        Value::Array(ids) => Ok(PromptText::Tokens(tokens(param, ids)?)),
        other => Err(wrong_type(param, "a string or an array of token ids", other)),
    }
}
