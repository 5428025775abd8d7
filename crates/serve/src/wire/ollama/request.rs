//! Request bodies: what is asked, by a chat or by a completion.

use answer::{Ask, Constrained, Constraint, Ending, Input, Problem, PromptText};
use serde_json::{Map, Value, json};

use super::messages;
use crate::KeepAlive;
use crate::wire::fields::{Fields, MAX_STOPS, MAX_TOOLS, unsupported, within, wrong_type};
use crate::wire::known::{self, Request};
use crate::wire::logprobs::logprobs;
use crate::wire::sampling::sampling;

/// One of the endpoints that generate.
pub(crate) trait Endpoint: Send + Unpin + 'static {
    /// What is known of its fields.
    const REQUEST: &'static Request;

    /// Whether text comes as a message.
    const MESSAGE: bool;

    /// What is to be continued; `None` if only the model is to be there.
    ///
    /// # Errors
    /// If a field is not what the API says.
    fn input(fields: Fields<'_>, think: Think) -> Result<Option<Input>, Problem>;
}

/// `POST /api/chat`.
pub(crate) struct ChatEndpoint;

/// `POST /api/generate`.
pub(crate) struct GenerateEndpoint;

impl Endpoint for ChatEndpoint {
    const REQUEST: &'static Request = &known::OLLAMA_CHAT;
    const MESSAGE: bool = true;

    fn input(fields: Fields<'_>, think: Think) -> Result<Option<Input>, Problem> {
        let tools = fields.list("tools", MAX_TOOLS)?.filter(|tools| !tools.is_empty());
        let messages = messages::messages(fields)?;
        Ok((!messages.is_empty()).then(|| chat(messages, tools.map(|tools| json!(tools)), think)))
    }
}

impl Endpoint for GenerateEndpoint {
    const REQUEST: &'static Request = &known::GENERATE;
    const MESSAGE: bool = false;

    fn input(fields: Fields<'_>, think: Think) -> Result<Option<Input>, Problem> {
        let system = fields.string("system")?.filter(|system| !system.is_empty());
        let raw = fields.bool("raw")?.unwrap_or(false);
        let Some(prompt) = fields.string("prompt")?.filter(|prompt| !prompt.is_empty()) else { return Ok(None) };
        if let Some(suffix) = fields.string("suffix")?.filter(|suffix| !suffix.is_empty()) {
            let (items, suffix) = (vec![PromptText::Text(prompt.to_owned())], Some(suffix.to_owned()));
            return Ok(Some(Input::Prompts { items, echo: false, parse_special: false, suffix }));
        }
        if raw {
            return match system {
                None => Ok(Some(Input::text(prompt))),
                Some(_) => Err(unsupported("system", "together with raw")),
            };
        }
        let system = system.map(|system| json!({ "role": "system", "content": system }));
        let asked = json!({ "role": "user", "content": prompt });
        Ok(Some(chat(system.into_iter().chain([asked]).collect(), None, think)))
    }
}

/// A conversation that the model answers, or whose last message, an assistant's, it continues.
fn chat(messages: Vec<Value>, tools: Option<Value>, think: Think) -> Input {
    let continues = messages.last().is_some_and(|last| last["role"] == "assistant" && last["content"] != "");
    Input::Chat(answer::Chat {
        tools,
        add_generation_prompt: !continues,
        continue_final_message: continues,
        variables: think.variables,
        ..answer::Chat::new(Value::Array(messages))
    })
}

/// What is asked of the model, if anything.
pub(super) fn ask<E: Endpoint>(fields: Fields<'_>, think: Think) -> Result<Option<Ask>, Problem> {
    let none = Map::new();
    let inside = |e| within("options", e);
    let options = Fields::of(&known::OPTIONS, fields.object("options")?.unwrap_or(&none)).map_err(inside)?;
    let (sampling, ending) = (sampling(options).map_err(inside)?, ending(options).map_err(inside)?);
    let (input, logprobs) = (E::input(fields, think)?, logprobs(fields)?);
    let constrained = format(fields)?;
    Ok(input.map(|input| Ask { sampling, ending, constrained, logprobs, ..Ask::new(input) }))
}

/// What the answer has to fit: `json` for any object, or a schema.
fn format(fields: Fields<'_>) -> Result<Option<Constrained>, Problem> {
    let constraint = match fields.get("format") {
        None => return Ok(None),
        Some(Value::String(format)) if format.is_empty() => return Ok(None),
        Some(Value::String(format)) if format == "json" => Constraint::json_object(),
        Some(schema @ Value::Object(_)) => Constraint::JsonSchema(schema.clone()),
        Some(other) => return Err(wrong_type("format", "`json` or a schema", other)),
    };
    Ok(Some(Constrained { constraint, param: "format".to_owned() }))
}

/// What is said of thinking.
pub(crate) struct Think {
    /// Whether it is shown.
    pub(super) shown: bool,
    /// What templates are told.
    variables: Map<String, Value>,
}

/// Models that reason think and show it unless they are told not to.
pub(super) fn think(fields: Fields<'_>) -> Result<Think, Problem> {
    let mut variables = Map::new();
    let shown = match fields.get("think") {
        None => return Ok(Think { shown: true, variables }),
        Some(Value::Bool(think)) => *think,
        Some(Value::String(effort)) => {
            variables.insert("reasoning_effort".into(), effort.as_str().into());
            true
        }
        Some(other) => return Err(wrong_type("think", "true, false or an effort", other)),
    };
    variables.insert("enable_thinking".into(), shown.into());
    Ok(Think { shown, variables })
}

/// How long the model stays in memory after the request: a number of seconds, or a duration as Go writes it.
pub(in crate::wire) fn keep_alive(fields: Fields<'_>) -> Result<Option<KeepAlive>, Problem> {
    match fields.get("keep_alive") {
        None => Ok(None),
        Some(Value::Number(seconds)) => Ok(seconds.as_f64().map(KeepAlive::seconds)),
        Some(Value::String(time)) => time
            .parse()
            .map(Some)
            .map_err(|why| Problem::of(answer::Kind::InvalidValue, "keep_alive", format!("keep_alive {why}."))),
        Some(other) => Err(wrong_type("keep_alive", "a number of seconds or a duration", other)),
    }
}

/// Below zero is no limit but the context's.
fn ending(options: Fields<'_>) -> Result<Ending, Problem> {
    let max_tokens = options.integer("num_predict", -2..)?.and_then(|most| usize::try_from(most).ok());
    Ok(Ending { max_tokens, strings: options.strings("stop", MAX_STOPS)?, ..Ending::default() })
}
