//! Messages as clients send them, checked and put into one form. What a template can take of it is another matter.

use serde_json::{Map, Value, json};

/// Names a message's reasoning goes by. The first is the one that templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// What is wrong with messages: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct MessageError {
    /// The field at fault, as a path (`messages[1].content[0]`).
    pub field: String,
    /// What sort of problem it is.
    pub kind: MessageErrorKind,
    /// What is wrong, the field named, and what would fix it.
    pub problem: String,
}

/// What sort of problem messages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageErrorKind {
    /// A field is missing.
    Missing,
    /// A field has the wrong type.
    Type,
    /// A field's value cannot be, or contradicts another one.
    Value,
    /// A content that is no text.
    Unsupported,
}

impl MessageError {
    pub(super) fn new(field: &str, kind: MessageErrorKind, problem: &str) -> MessageError {
        MessageError { field: field.to_owned(), kind, problem: format!("{field} {problem}.") }
    }

    fn missing(field: &str) -> MessageError {
        MessageError::new(field, MessageErrorKind::Missing, "is missing")
    }

    fn wrong_type(field: &str, wanted: &str, value: &Value) -> MessageError {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        MessageError::new(field, MessageErrorKind::Type, &format!("must be {wanted}, but is {found}"))
    }
}

type Checked<T> = Result<T, MessageError>;

/// Checks OpenAI's messages and puts them into one form:
///
/// - `content` is a text, a list of text parts `{"type": "text", "text": …}`, or null where a message only calls tools;
/// - developers are the system, and `function_call` and the role `function` of old clients are tool calls and results;
/// - empty lists of tool calls are absent, each call has its `type`, and a tool result without an id answers the first call
///   that has no answer;
/// - reasoning stands under the names that templates read, whatever its name was.
///
/// Fields that are unknown stay as they are. What is normalised already does not change.
///
/// # Errors
/// If a message is not of this kind; the error names the field.
pub fn normalized_messages(messages: &Value) -> Result<Value, MessageError> {
    let Value::Array(list) = messages else {
        return Err(MessageError::wrong_type("messages", "an array", messages));
    };
    let mut open: Vec<String> = Vec::new();
    let normalized = list.iter().enumerate().map(|(i, item)| {
        let mut message = Message { field: format!("messages[{i}]"), map: message_map(item, i)? };
        message.normalize(&mut open)?;
        Ok(Value::Object(message.map))
    });
    Ok(Value::Array(normalized.collect::<Checked<_>>()?))
}

fn message_map(item: &Value, i: usize) -> Checked<Map<String, Value>> {
    match item {
        Value::Object(map) => Ok(map.clone()),
        other => Err(MessageError::wrong_type(&format!("messages[{i}]"), "an object", other)),
    }
}

struct Message {
    field: String,
    map: Map<String, Value>,
}

impl Message {
    fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.field)
    }

    /// `open` are the ids of calls that have no answer yet.
    fn normalize(&mut self, open: &mut Vec<String>) -> Checked<()> {
        let role = self.role()?;
        self.calls()?;
        self.content(&role)?;
        self.reasoning();
        if role == "tool" {
            self.result(open);
        }
        let calls = self.map.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
        open.extend(calls.filter_map(|call| Some(call.get("id")?.as_str()?.to_owned())));
        Ok(())
    }

    fn role(&mut self) -> Checked<String> {
        let path = self.path("role");
        let role = match self.map.get("role") {
            None | Some(Value::Null) => return Err(MessageError::missing(&path)),
            Some(Value::String(role)) => match role.as_str() {
                "developer" => "system",
                "function" => "tool",
                other => other,
            },
            Some(other) => return Err(MessageError::wrong_type(&path, "a string", other)),
        };
        let role = role.to_owned();
        self.map.insert("role".into(), role.as_str().into());
        Ok(role)
    }

    fn content(&mut self, role: &str) -> Checked<()> {
        let path = self.path("content");
        let content = match self.map.get("content") {
            None | Some(Value::Null) => {
                // Who says nothing but calls is an assistant; a role that only its template knows may have other fields.
                if matches!(role, "user" | "system") {
                    return Err(MessageError::missing(&path));
                }
                if self.map.contains_key("tool_calls") { Value::Null } else { "".into() }
            }
            Some(Value::String(text)) => text.as_str().into(),
            Some(Value::Array(items)) => {
                let parts = items.iter().enumerate().map(|(i, item)| part(&format!("{path}[{i}]"), item));
                parts.collect::<Checked<_>>()?
            }
            Some(other) => return Err(MessageError::wrong_type(&path, "a string or an array of parts", other)),
        };
        self.map.insert("content".into(), content);
        Ok(())
    }

    fn calls(&mut self) -> Checked<()> {
        let path = self.path("tool_calls");
        if let Some(call @ Value::Object(_)) = self.map.remove("function_call") {
            self.map.entry("tool_calls").or_insert_with(|| json!([{ "function": call }]));
        }
        match self.map.get_mut("tool_calls") {
            None => {}
            Some(Value::Array(calls)) if !calls.is_empty() => {
                for (i, call) in calls.iter_mut().enumerate() {
                    normalize_call(&format!("{path}[{i}]"), call)?;
                }
            }
            Some(Value::Null | Value::Array(_)) => _ = self.map.remove("tool_calls"),
            Some(other) => return Err(MessageError::wrong_type(&path, "an array", other)),
        }
        Ok(())
    }

    /// The same reasoning under every name that templates read it by.
    fn reasoning(&mut self) {
        let found = REASONING.iter().find_map(|name| self.map.get(*name).filter(|value| !value.is_null())).cloned();
        if let Some(reasoning) = found {
            self.map.entry("thinking").or_insert_with(|| reasoning.clone());
            self.map.insert("reasoning_content".into(), reasoning);
        }
    }

    fn result(&mut self, open: &mut Vec<String>) {
        match self.map.get("tool_call_id").and_then(Value::as_str) {
            Some(id) => open.retain(|other| other != id),
            None if !open.is_empty() => _ = self.map.insert("tool_call_id".into(), open.remove(0).into()),
            None => {}
        }
    }
}

/// A part of a content as OpenAI's API writes it.
fn part(path: &str, item: &Value) -> Checked<Value> {
    if let Value::String(text) = item {
        return Ok(json!({ "type": "text", "text": text }));
    }
    let Value::Object(map) = item else { return Err(MessageError::wrong_type(path, "an object", item)) };
    match map.get("type").and_then(Value::as_str) {
        None | Some("text" | "input_text" | "output_text" | "refusal") => {
            let text = map.get("text").or_else(|| map.get("refusal")).unwrap_or(&Value::Null);
            match text.as_str() {
                Some(text) => Ok(json!({ "type": "text", "text": text })),
                None => Err(MessageError::wrong_type(&format!("{path}.text"), "a string", text)),
            }
        }
        Some(kind) => {
            let problem = format!("of type {kind} is not supported: only text is");
            Err(MessageError::new(path, MessageErrorKind::Unsupported, &problem))
        }
    }
}

fn normalize_call(path: &str, call: &mut Value) -> Checked<()> {
    let Value::Object(map) = call else { return Err(MessageError::wrong_type(path, "an object", call)) };
    // Some clients leave out the object around name and arguments.
    if !map.contains_key("function")
        && let (Some(name), arguments) = (map.remove("name"), map.remove("arguments"))
    {
        map.insert("function".into(), json!({ "name": name, "arguments": arguments }));
    }
    map.entry("type").or_insert_with(|| "function".into());
    let path = format!("{path}.function");
    let Some(function) = map.get_mut("function") else { return Err(MessageError::missing(&path)) };
    let Value::Object(function) = function else { return Err(MessageError::wrong_type(&path, "an object", function)) };
    match function.get("name") {
        Some(Value::String(_)) => {}
        None => return Err(MessageError::missing(&format!("{path}.name"))),
        Some(other) => return Err(MessageError::wrong_type(&format!("{path}.name"), "a string", other)),
    }
    match function.get("arguments") {
        Some(Value::Object(_) | Value::String(_)) => Ok(()),
        None | Some(Value::Null) => {
            function.insert("arguments".into(), json!({}));
            Ok(())
        }
        Some(other) => {
            Err(MessageError::wrong_type(&format!("{path}.arguments"), "an object, or one as JSON in a string", other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: Value, expected: Value) {
        let normalized = normalized_messages(&json!([message])).expect("right");
        assert_eq!(normalized, json!([expected]), "{message}");
        assert_eq!(normalized_messages(&normalized).expect("right"), normalized, "once is enough: {message}");
    }

    #[test]
    fn messages_have_one_form() {
        check(json!({"role": "user", "content": "a"}), json!({"role": "user", "content": "a"}));
        check(json!({"role": "developer", "content": "a"}), json!({"role": "system", "content": "a"}));
        check(
            json!({"role": "user", "content": ["a", {"type": "input_text", "text": "b"}], "name": "n"}),
            json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "n"}),
        );
        check(json!({"role": "assistant", "content": null}), json!({"role": "assistant", "content": ""}));
        check(
            json!({"role": "assistant", "content": null, "tool_calls": []}),
            json!({"role": "assistant", "content": ""}),
        );
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        check(
            json!({"role": "assistant", "tool_calls": [call]}),
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        );
        check(
            json!({"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}}),
            json!({"role": "assistant", "content": null,
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
        );
        check(
            json!({"role": "function", "name": "f", "content": "1"}),
            json!({"role": "tool", "name": "f", "content": "1"}),
        );
        check(
            json!({"role": "assistant", "content": "a", "reasoning": "r"}),
            json!({"role": "assistant", "content": "a", "reasoning": "r", "thinking": "r", "reasoning_content": "r"}),
        );
        check(json!({"role": "tool", "content": null}), json!({"role": "tool", "content": ""}));
    }

    #[test]
    fn results_without_an_id_answer_in_order() {
        let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": {}}});
        let messages = json!([
            {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b"), call("c")]},
            {"role": "tool", "content": "1", "tool_call_id": "b"},
            {"role": "tool", "content": "2"},
            {"role": "tool", "content": "3"},
            {"role": "tool", "content": "4"},
        ]);
        let normalized = normalized_messages(&messages).expect("right");
        let ids: Vec<&Value> = (1..5).map(|i| &normalized[i]["tool_call_id"]).collect();
        assert_eq!(ids, [&json!("b"), &json!("a"), &json!("c"), &Value::Null]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |messages: Value, field: &str, kind: MessageErrorKind, problem: &str| {
            let error = normalized_messages(&messages).expect_err("wrong");
            assert_eq!(
                (error.field.as_str(), error.kind, error.problem.as_str()),
                (field, kind, problem),
                "{messages}"
            );
        };
        use MessageErrorKind::{Missing, Type, Unsupported};
        check(json!({}), "messages", Type, "messages must be an array, but is an object.");
        check(json!(["a"]), "messages[0]", Type, "messages[0] must be an object, but is a string.");
        check(json!([{"content": "a"}]), "messages[0].role", Missing, "messages[0].role is missing.");
        check(json!([{"role": "user"}]), "messages[0].content", Missing, "messages[0].content is missing.");
        check(
            json!([{"role": "user", "content": 1}]),
            "messages[0].content",
            Type,
            "messages[0].content must be a string or an array of parts, but is a number.",
        );
        check(
            json!([{"role": "user", "content": ["a", {"type": "image_url", "image_url": {}}]}]),
            "messages[0].content[1]",
            Unsupported,
            "messages[0].content[1] of type image_url is not supported: only text is.",
        );
        check(
            json!([{"role": "assistant", "tool_calls": [{"function": {}}]}]),
            "messages[0].tool_calls[0].function.name",
            Missing,
            "messages[0].tool_calls[0].function.name is missing.",
        );
    }
}
