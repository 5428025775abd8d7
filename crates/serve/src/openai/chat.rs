//! What `POST /v1/chat/completions` has of its own.

use serde_json::{Map, Value};

use super::fields::{Fields, wrong_type};
use super::request::{MAX_LOGPROBS, unsupported};
use crate::{Chat, Input, Kind, Problem};

pub(super) fn input(fields: Fields<'_>) -> Result<Input, Problem> {
    refuse_formats(fields)?;
    let continue_final_message = fields.bool("continue_final_message")?.unwrap_or(false);
    let add_generation_prompt = fields.bool("add_generation_prompt")?.unwrap_or(!continue_final_message);
    let messages = messages(fields)?;
    if continue_final_message {
        check_continued(&messages, add_generation_prompt)?;
    }
    Ok(Input::Chat(Chat {
        messages: Value::Array(messages),
        tools: tools(fields)?,
        add_generation_prompt,
        continue_final_message,
        variables: variables(fields)?,
    }))
}

pub(super) fn logprobs(fields: Fields<'_>) -> Result<Option<usize>, Problem> {
    let wanted = fields.bool("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=MAX_LOGPROBS)?;
    match (wanted, top) {
        (false, Some(1..)) => {
            Err(Problem::of(Kind::InvalidValue, "top_logprobs", "top_logprobs needs logprobs to be true."))
        }
        (false, _) => Ok(None),
        (true, top) => Ok(Some(usize::try_from(top.unwrap_or(0)).unwrap_or(0))),
    }
}

fn refuse_formats(fields: Fields<'_>) -> Result<(), Problem> {
    if let Some(format) = fields.object("response_format")? {
        match Fields(format).string("type")? {
            None | Some("text") => {}
            Some(kind) => return Err(unsupported("response_format", &format!("of type {kind}"))),
        }
    }
    let modalities = fields.array("modalities")?.map_or(&[][..], Vec::as_slice);
    match modalities.iter().find(|item| *item != "text") {
        None => Ok(()),
        Some(other) => Err(unsupported("modalities", &format!("with {other}"))),
    }
}

fn messages(fields: Fields<'_>) -> Result<Vec<Value>, Problem> {
    fields.required("messages")?;
    let items = fields.array("messages")?.map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return Err(Problem::of(Kind::InvalidValue, "messages", "messages is empty. Write at least one message."));
    }
    items.iter().enumerate().map(|(i, item)| message(&format!("messages[{i}]"), item)).collect()
}

/// A message as templates expect it: content is text, arguments of tool calls are objects.
fn message(param: &str, item: &Value) -> Result<Value, Problem> {
    let Value::Object(map) = item else { return Err(wrong_type(param, "an object", item)) };
    let within = |e: Problem| {
        let name = e.param.unwrap_or_default();
        Problem::of(e.kind, format!("{param}.{name}"), format!("{param}.{}", e.message))
    };
    let role = Fields(map).required("role").map_err(within)?;
    let role = role.as_str().ok_or_else(|| wrong_type(&format!("{param}.role"), "a string", role))?;
    let mut message = map.clone();
    // Templates that know of developers treat them as the system; most know only the system.
    if role == "developer" {
        message.insert("role".into(), "system".into());
    }
    // Who says nothing but calls is an assistant; a role that only its template knows may have other fields.
    if matches!(role, "user" | "system" | "developer" | "tool") {
        Fields(map).required("content").map_err(within)?;
    }
    message.insert("content".into(), content(&format!("{param}.content"), map.get("content"))?);
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        calls.iter_mut().for_each(open_arguments);
    }
    Ok(Value::Object(message))
}

fn content(param: &str, value: Option<&Value>) -> Result<Value, Problem> {
    match value {
        None | Some(Value::Null) => Ok(Value::Null),
        Some(Value::String(text)) => Ok(text.as_str().into()),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().enumerate().map(|(i, item)| part(&format!("{param}[{i}]"), item));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n").into())
        }
        Some(other) => Err(wrong_type(param, "a string or an array of parts", other)),
    }
}

fn part<'a>(param: &str, item: &'a Value) -> Result<&'a str, Problem> {
    match item["type"].as_str() {
        _ if item.is_string() => Ok(item.as_str().unwrap_or_default()),
        Some("text" | "refusal") | None => {
            let text = item.get("text").or_else(|| item.get("refusal")).unwrap_or(&Value::Null);
            text.as_str().ok_or_else(|| wrong_type(&format!("{param}.text"), "a string", text))
        }
        Some(kind) => Err(unsupported(param, &format!("of type {kind}"))),
    }
}

/// OpenAI writes arguments as JSON in a string; templates print them as JSON, and a string would be quoted twice.
fn open_arguments(call: &mut Value) {
    let Some(arguments) = call.pointer_mut("/function/arguments") else { return };
    let parsed = arguments.as_str().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    if let Some(map) = parsed {
        *arguments = Value::Object(map);
    }
}

fn check_continued(messages: &[Value], add_generation_prompt: bool) -> Result<(), Problem> {
    let last = messages.last().unwrap_or(&Value::Null);
    let problem = if add_generation_prompt {
        "contradicts add_generation_prompt"
    } else if last["role"] != "assistant" || last["content"].as_str().is_none_or(|text| text.trim().is_empty()) {
        "needs a last message of the assistant with text"
    } else {
        return Ok(());
    };
    let param = "continue_final_message";
    Err(Problem::of(Kind::InvalidValue, param, format!("{param} {problem}.")))
}

/// `none` hides them from the model; a forced call would need a grammar.
fn tools(fields: Fields<'_>) -> Result<Option<Value>, Problem> {
    let tools = fields.array("tools")?.filter(|tools| !tools.is_empty());
    match fields.get("tool_choice") {
        None => {}
        Some(Value::String(choice)) if choice == "auto" => {}
        Some(Value::String(choice)) if choice == "none" => return Ok(None),
        Some(_) => return Err(unsupported("tool_choice", "other than auto and none")),
    }
    Ok(tools.map(|tools| Value::Array(tools.clone())))
}

fn variables(fields: Fields<'_>) -> Result<Map<String, Value>, Problem> {
    let mut variables = fields.object("chat_template_kwargs")?.cloned().unwrap_or_default();
    if let Some(effort) = fields.string("reasoning_effort")? {
        variables.entry("reasoning_effort").or_insert_with(|| effort.into());
    }
    Ok(variables)
}
