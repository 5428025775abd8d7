//! The items of a request as a list shows them: what clients may leave out is there.

use answer::{Kind, Problem as Refused};
use serde_json::{Value, json};

use crate::Problem;
use crate::wire::query::Query;

/// Items at once where nothing is said.
const LISTED: i64 = 20;

/// Items at once at most, as OpenAI has it.
const MAX_LISTED: i64 = 100;

/// An item of a request, as OpenAI's specification has it.
pub(super) fn item(item: &Value) -> Value {
    let mut item = item.clone();
    let said = match item["role"].as_str() {
        Some("assistant") => "output_text",
        _ => "input_text",
    };
    match item["type"].as_str() {
        Some("message") => {
            item["content"] = content(&item["content"], said);
            item["status"] = "completed".into();
        }
        Some("reasoning") if !item["summary"].is_array() => item["summary"] = json!([]),
        Some("function_call" | "function_call_output") if !item["status"].is_string() => {
            item["status"] = "completed".into();
        }
        _ => {}
    }
    item
}

/// The parts of a message: a text is one.
fn content(content: &Value, said: &str) -> Value {
    let text = |text: &Value| match said {
        "output_text" => json!({ "type": said, "text": text, "annotations": [], "logprobs": [] }),
        _ => json!({ "type": said, "text": text }),
    };
    let part = |part: &Value| if part["text"].is_string() { text(&part["text"]) } else { part.clone() };
    match content {
        Value::Array(parts) => parts.iter().map(part).collect(),
        other => json!([text(other)]),
    }
}

/// A part of a list: by `order` (the last first, unless it is `asc`), after the item `after`, `limit` of them.
pub(super) fn page(mut items: Vec<Value>, query: &Query) -> Result<Value, Problem> {
    if query.word("order", &["desc", "asc"])? != Some(1) {
        items.reverse();
    }
    if let Some(after) = query.get("after") {
        let at = items.iter().position(|item| item["id"] == after);
        let message = || format!("There is no item `{after}`.");
        let at = at.ok_or_else(|| Refused::of(Kind::InvalidValue, "after", message()))?;
        items.drain(..=at);
    }
    let limit = query.integer("limit", 1..=MAX_LISTED)?.unwrap_or(LISTED);
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let id = |item: Option<&Value>| item.map_or("".into(), |item| item["id"].clone());
    let (first, last) = (id(items.first()), id(items.last()));
    Ok(json!({ "object": "list", "data": items, "first_id": first, "last_id": last, "has_more": has_more }))
}
