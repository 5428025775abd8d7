//! Request bodies: what all endpoints share.

use std::ops::Bound;

use answer::{Ask, Ending, Input, Kind, Problem, Sampling};
use serde_json::{Map, Value};

use crate::wire::fields::{Fields, check_length, token, wrong_type};

/// Fields that other servers know, that would change the answer and that this one does not do.
const UNSUPPORTED: &[&str] = &[
    "allowed_token_ids",
    "audio",
    "bad_words",
    "chat_template",
    "documents",
    "dry_allowed_length",
    "dry_base",
    "dry_multiplier",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "ebnf",
    "format",
    "functions",
    "grammar",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "include_stop_str_in_output",
    "json_schema",
    "logits_processors",
    "mirostat",
    "prompt_logprobs",
    "regex",
    "structured_outputs",
    "suffix",
    "tfs_z",
    "top_a",
    "top_n_sigma",
    "truncate_prompt_tokens",
    "use_beam_search",
    "web_search_options",
    "xtc_probability",
    "xtc_threshold",
];

/// Stop strings in a request at most.
const MAX_STOPS: usize = 16;

/// Token ids in `logit_bias` and in `stop_token_ids` at most.
const MAX_TOKEN_IDS: usize = 4096;

/// Log-probabilities of alternatives at most.
pub(super) const MAX_LOGPROBS: i64 = 20;

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
        logprobs,
        skip_special_tokens: fields.bool("skip_special_tokens")?.unwrap_or(true),
        pieces: delivery.streams(),
        ..Ask::new(input)
    };
    Ok((ask, delivery))
}

/// The error for what this server does not do.
pub(super) fn unsupported(param: &str, what: &str) -> Problem {
    Problem::of(Kind::Unsupported, param, format!("{param} {what} is not supported by this server.").replace("  ", " "))
}

pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, crate::Problem> {
    if body.trim_ascii().is_empty() {
        return Err(crate::Problem::new(crate::Kind::InvalidJson, "The body is empty; it must be a JSON object."));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(Problem { param: None, ..wrong_type("The body", "a JSON object", &other) }.into()),
        Err(e) => Err(crate::Problem::new(crate::Kind::InvalidJson, format!("The body is not valid JSON: {e}."))),
    }
}

pub(super) fn refuse_unsupported(fields: Fields<'_>) -> Result<(), Problem> {
    let asks = |name: &&&str| fields.get(name).is_some_and(|value| !is_off(value));
    UNSUPPORTED.iter().find(asks).map_or(Ok(()), |name| Err(unsupported(name, "")))
}

/// Values by which clients say that they do not want a thing.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

fn sampling(fields: Fields<'_>) -> Result<Sampling, Problem> {
    let share = 0.0..=1.0;
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0..)?,
        top_k: fields.integer("top_k", -1..)?.map(|k| usize::try_from(k).unwrap_or(0)),
        top_p: fields.number("top_p", share.clone())?,
        min_p: fields.number("min_p", 0.0..=1.0)?,
        typical_p: fields.number(fields.alias("typical_p", "typical"), share)?,
        repetition_penalty: fields
            .number(fields.alias("repetition_penalty", "repeat_penalty"), (Bound::Excluded(0.0), Bound::Unbounded))?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        logit_bias: logit_bias(fields)?,
        seed: seed(fields)?,
    })
}

fn logit_bias(fields: Fields<'_>) -> Result<Vec<(u32, f32)>, Problem> {
    let Some(map) = fields.object("logit_bias")? else { return Ok(Vec::new()) };
    check_length("logit_bias", map.len(), MAX_TOKEN_IDS)?;
    let read = |id: &String| {
        let token = id.parse().map_err(|_| {
            let message = format!("logit_bias: `{id}` is not a token id. Its keys are token ids, its values biases.");
            Problem::of(Kind::InvalidValue, "logit_bias", message)
        })?;
        let in_field = |e: Problem| Problem::of(e.kind, "logit_bias", format!("logit_bias: {}", e.message));
        let bias = Fields(map).number(id, -100.0..=100.0).map_err(in_field)?;
        Ok((token, bias.unwrap_or(0.0)))
    };
    map.keys().map(read).collect()
}

/// Any integer of 64 bits, signed or not; -1 is by chance, as llama.cpp and others mean it.
fn seed(fields: Fields<'_>) -> Result<Option<u64>, Problem> {
    match fields.get("seed").and_then(Value::as_u64) {
        Some(seed) => Ok(Some(seed)),
        None => Ok(fields.integer("seed", ..)?.filter(|seed| *seed != -1).map(i64::cast_unsigned)),
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
        strings: stops(fields)?,
    })
}

/// An array of token ids.
pub(super) fn tokens(param: &str, items: &[Value]) -> Result<Vec<u32>, Problem> {
    let param = |i: usize| format!("{param}[{i}]");
    items.iter().enumerate().map(|(i, item)| token(&param(i), item)).collect()
}

fn stops(fields: Fields<'_>) -> Result<Vec<String>, Problem> {
    let items = match fields.get("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(stop)) => return Ok(vec![stop.clone()]),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong_type("stop", "a string or an array of strings", other)),
    };
    check_length("stop", items.len(), MAX_STOPS)?;
    let read = |(i, item): (usize, &Value)| {
        item.as_str().map(str::to_owned).ok_or_else(|| wrong_type(&format!("stop[{i}]"), "a string", item))
    };
    items.iter().enumerate().map(read).collect()
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
    let include_usage = options.map_or(Ok(None), |map| Fields(map).bool("include_usage"));
    let in_field = |e: Problem| Problem::of(e.kind, "stream_options.include_usage", e.message);
    Ok(Delivery::Stream { include_usage: include_usage.map_err(in_field)?.unwrap_or(false) })
}
