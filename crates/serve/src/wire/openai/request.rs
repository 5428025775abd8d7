//! Request bodies: what all endpoints share.

use answer::{Ask, Ending, Input, Kind, Priority, Problem, Service};
use serde_json::Value;
use std::time::Duration;

use super::constraint;
use crate::wire::fields::{Fields, MAX_STOPS, MAX_TOKEN_IDS, token, unsupported, urgency};
use crate::wire::logprobs::MAX_LOGPROBS;
use crate::wire::sampling::sampling;

/// How the answer is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// At once.
    Whole,
    /// As events.
    Stream {
        /// With a last event that says how many tokens it took.
        include_usage: bool,
    },
}

impl Delivery {
    pub(super) fn streams(self) -> bool {
        self != Delivery::Whole
    }

    /// Whether a stream says how many tokens it took.
    pub(super) fn usage(self) -> bool {
        self == Delivery::Stream { include_usage: true }
    }

    /// The name of what is sent.
    pub(super) fn object(self, whole: &'static str, chunk: &'static str) -> &'static str {
        if self.streams() { chunk } else { whole }
    }
}

/// The model's name.
pub(super) fn model(fields: Fields<'_>) -> Result<Option<String>, Problem> {
    Ok(fields.string("model")?.map(str::to_owned))
}

/// What is asked and how it is delivered. `tokens` are the least that may be asked for, and what is asked for where the
/// request does not say.
pub(super) fn ask(
    fields: Fields<'_>,
    input: Input,
    logprobs: Option<usize>,
    tokens: (i64, Option<usize>),
) -> Result<(Ask, Delivery), Problem> {
    let n = fields.integer("n", 1..=128)?.unwrap_or(1);
    if fields.integer("best_of", 0..)?.is_some_and(|best| best != n) {
        return Err(unsupported("best_of", "other than n"));
    }
    let delivery = delivery(fields)?;
    let ask = Ask {
        n: usize::try_from(n).unwrap_or(1),
        sampling: sampling(fields)?,
        ending: ending(fields, tokens)?,
        constrained: constraint::constrained(fields)?,
        logprobs,
        prompt_logprobs: prompt_logprobs(fields, delivery)?,
        service: service(fields)?,
        prediction: prediction(fields)?,
        skip_special_tokens: fields.bool("skip_special_tokens")?.unwrap_or(true),
        pieces: delivery.streams(),
        ..Ask::new(input)
    };
    Ok((ask, delivery))
}

/// How many alternatives of each of the prompt's tokens are told.
fn prompt_logprobs(fields: Fields<'_>, delivery: Delivery) -> Result<Option<usize>, Problem> {
    let count = fields.integer("prompt_logprobs", 0..=MAX_LOGPROBS)?;
    if count.is_some() && delivery.streams() {
        let message = "prompt_logprobs come with a whole answer: set stream to false or leave them out.";
        return Err(Problem::of(Kind::InvalidValue, "prompt_logprobs", message));
    }
    Ok(count.and_then(|count| usize::try_from(count).ok()))
}

/// The text that the answer is likely to be.
fn prediction(fields: Fields<'_>) -> Result<Option<String>, Problem> {
    let Some(value) = fields.get("prediction").filter(|value| !value.is_null()) else { return Ok(None) };
    let part = |part: &Value| part["text"].as_str().filter(|_| part["type"] == "text").map(str::to_owned);
    let text = match &value["content"] {
        _ if value["type"] != "content" => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => None,
    };
    let problem = || {
        let message = "prediction must be { type: 'content', content: a text or parts of type 'text' }.";
        Problem::of(Kind::InvalidValue, "prediction", message)
    };
    text.map(Some).ok_or_else(problem)
}

/// How it is served among others.
pub(super) fn service(fields: Fields<'_>) -> Result<Service, Problem> {
    let limit = fields.integer("deadline_ms", 1..)?;
    Ok(Service {
        priority: priority(fields)?,
        time_limit: limit.map(|millis| Duration::from_millis(millis.unsigned_abs())),
        tenant: fields.string("user")?.map(str::to_owned),
        cache_salt: fields.string("cache_salt")?.map(str::to_owned),
        interposed: None,
    })
}

/// A word, or a number as vLLM has them: the lower the more urgent, and 0 is the usual.
fn priority(fields: Fields<'_>) -> Result<Priority, Problem> {
    match fields.get("priority") {
        None => Ok(Priority::Normal),
        Some(Value::String(word)) => urgency("priority", word),
        Some(_) => Ok(match fields.integer("priority", ..)?.unwrap_or(0) {
            ..0 => Priority::High,
            0 => Priority::Normal,
            1.. => Priority::Low,
        }),
    }
}

/// Most tokens; -1 is no limit but the context's, as llama.cpp and others mean it.
fn max_tokens(fields: Fields<'_>, (least, default): (i64, Option<usize>)) -> Result<Option<usize>, Problem> {
    for name in ["max_completion_tokens", "max_tokens", "n_predict"] {
        match fields.integer(name, ..)? {
            None => {}
            Some(-1) => return Ok(None),
            Some(_) => return fields.count(name, least),
        }
    }
    Ok(default)
}

fn ending(fields: Fields<'_>, tokens: (i64, Option<usize>)) -> Result<Ending, Problem> {
    let max_tokens = max_tokens(fields, tokens)?;
    let min_tokens = fields.count("min_tokens", 0)?.unwrap_or(0);
    if let Some(max) = max_tokens.filter(|max| min_tokens > *max) {
        let message = format!("min_tokens ({min_tokens}) must be at most max_tokens ({max}).");
        return Err(Problem::of(Kind::InvalidValue, "min_tokens", message));
    }
    Ok(Ending {
        max_tokens,
        min_tokens,
        ignore_eos: fields.bool("ignore_eos")?.unwrap_or(false),
        token_ids: self::tokens(
            "stop_token_ids",
            fields.list("stop_token_ids", MAX_TOKEN_IDS)?.map_or(&[], Vec::as_slice),
        )?,
        strings: fields.strings("stop", MAX_STOPS)?,
        include: fields.bool("include_stop_str_in_output")?.unwrap_or(false),
    })
}

/// An array of token ids.
pub(super) fn tokens(param: &str, items: &[Value]) -> Result<Vec<u32>, Problem> {
    let param = |i: usize| format!("{param}[{i}]");
    items.iter().enumerate().map(|(i, item)| token(&param(i), item)).collect()
}

fn delivery(fields: Fields<'_>) -> Result<Delivery, Problem> {
    let options = fields.object("stream_options")?;
    if !fields.bool("stream")?.unwrap_or(false) {
        return match options {
            None => Ok(Delivery::Whole),
            Some(_) => {
                let message = "stream_options is for streams: set stream to true or leave it out.";
                Err(Problem::of(Kind::InvalidValue, "stream_options", message))
            }
        };
    }
    let include_usage = options.map_or(Ok(None), |map| Fields::new(map).bool("include_usage"));
    let in_field = |e: Problem| Problem::of(e.kind, "stream_options.include_usage", e.message);
    Ok(Delivery::Stream { include_usage: include_usage.map_err(in_field)?.unwrap_or(false) })
}
