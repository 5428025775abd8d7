//! What `POST /v1/completions` has of its own.

use serde_json::Value;

use super::fields::{Fields, wrong_type};
use super::request::{MAX_LOGPROBS, tokens, unsupported};
use crate::{Input, Kind, Problem, PromptText};

/// Prompts in a request at most.
const MAX_PROMPTS: usize = 1024;

pub(super) fn input(fields: Fields<'_>) -> Result<Input, Problem> {
    let items = match fields.required("prompt")? {
        Value::String(text) => vec![PromptText::Text(text.clone())],
        Value::Array(items) => array(items)?,
        other => return Err(wrong_type("prompt", "a string, an array of strings or token ids", other)),
    };
    let echo = fields.bool("echo")?.unwrap_or(false);
    if echo && fields.get("logprobs").is_some() {
        return Err(unsupported("echo", "together with logprobs"));
    }
    Ok(Input::Prompts { items, echo })
}

pub(super) fn logprobs(fields: Fields<'_>) -> Result<Option<usize>, Problem> {
    let count = fields.integer("logprobs", 0..=MAX_LOGPROBS)?;
    Ok(count.and_then(|count| usize::try_from(count).ok()))
}

/// Token ids are one prompt; strings and arrays of token ids are a prompt each.
fn array(items: &[Value]) -> Result<Vec<PromptText>, Problem> {
    let wrong = |message: String| Err(Problem::of(Kind::InvalidValue, "prompt", message));
    match items {
        [] => wrong("prompt is an empty array. Write at least one prompt.".into()),
        [Value::Number(_), ..] => Ok(vec![PromptText::Tokens(tokens("prompt", items)?)]),
        _ if items.len() > MAX_PROMPTS => {
            wrong(format!("prompt must have at most {MAX_PROMPTS} prompts, but it has {}.", items.len()))
        }
        _ => items.iter().enumerate().map(|(i, item)| one(&format!("prompt[{i}]"), item)).collect(),
    }
}

fn one(param: &str, item: &Value) -> Result<PromptText, Problem> {
    match item {
        Value::String(text) => Ok(PromptText::Text(text.clone())),
        Value::Array(ids) => Ok(PromptText::Tokens(tokens(param, ids)?)),
        other => Err(wrong_type(param, "a string or an array of token ids", other)),
    }
}
