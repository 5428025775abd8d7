//! Messages as Ollama writes them, turned into those that templates expect.

use answer::Problem;
use serde_json::{Value, json};

use crate::wire::fields::{Fields, MAX_MESSAGES, within, wrong_type};
use crate::wire::known;

/// Calls of tools in a message at most.
const MAX_CALLS: usize = 1024;

/// The messages of a request.
pub(super) fn messages(fields: Fields<'_>) -> Result<Vec<Value>, Problem> {
    let items = fields.list("messages", MAX_MESSAGES)?.map_or(&[][..], Vec::as_slice);
    items.iter().enumerate().map(|(i, item)| message(&format!("messages[{i}]"), item)).collect()
}

fn message(param: &str, item: &Value) -> Result<Value, Problem> {
    let Value::Object(map) = item else { return Err(wrong_type(param, "an object", item)) };
    Fields::of(&known::MESSAGE, map).and_then(read).map_err(|e| within(param, e))
}

fn read(fields: Fields<'_>) -> Result<Value, Problem> {
    let role = fields.required("role")?;
    let role = role.as_str().ok_or_else(|| wrong_type("role", "a string", role))?;
    let mut message = json!({ "role": role, "content": fields.string("content")?.unwrap_or_default() });
    let others =
        [("thinking", "reasoning_content"), ("tool_name", "name"), ("name", "name"), ("tool_call_id", "tool_call_id")];
    for (name, known) in others {
        if let Some(text) = fields.string(name)?.filter(|text| !text.is_empty()) {
            message[known] = text.into();
        }
    }
    let calls = fields.list("tool_calls", MAX_CALLS)?.map_or(&[][..], Vec::as_slice);
    if !calls.is_empty() {
        let calls = calls.iter().enumerate().map(|(i, item)| call(&format!("tool_calls[{i}]"), item));
        message["tool_calls"] = calls.collect::<Result<_, _>>()?;
    }
    Ok(message)
}

fn call(param: &str, item: &Value) -> Result<Value, Problem> {
    let Value::Object(function) = &item["function"] else {
        return Err(wrong_type(&format!("{param}.function"), "an object", &item["function"]));
    };
    let name = Fields::new(function).required("name").map_err(|e| within(&format!("{param}.function"), e))?;
    let arguments = Fields::new(function).get("arguments").cloned().unwrap_or_else(|| json!({}));
    let id = item["id"].as_str().unwrap_or(param);
    Ok(json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }))
}
