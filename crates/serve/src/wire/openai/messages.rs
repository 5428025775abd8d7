//! Messages of a chat as templates expect them.

use serde_json::{Map, Value};

use crate::wire::fields::{Fields, MAX_MESSAGES, unsupported, within, wrong_type};
use answer::{Kind, Problem};

/// The messages of a request.
pub(super) fn messages(fields: Fields<'_>) -> Result<Vec<Value>, Problem> {
    fields.required("messages")?;
    let items = fields.list("messages", MAX_MESSAGES)?.map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return Err(Problem::of(Kind::InvalidValue, "messages", "messages is empty. Write at least one message."));
    }
    items.iter().enumerate().map(|(i, item)| message(&format!("messages[{i}]"), item)).collect()
}

/// A message as templates expect it: content is text, arguments of tool calls are objects.
fn message(param: &str, item: &Value) -> Result<Value, Problem> {
    let Value::Object(map) = item else { return Err(wrong_type(param, "an object", item)) };
    let within = |e: Problem| within(param, e);
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
