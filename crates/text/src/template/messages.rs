//! Messages as templates expect them: OpenAI's content parts and the several names of reasoning.

use minijinja::value::Value;

use super::json;

/// Names a message's reasoning goes by. The first is the one that templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Whether a template goes through the parts of a content or at least asks what it is.
pub(super) fn takes_parts(source: &str) -> bool {
    let source: String = source.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "'");
    let contents = ["content", "message.content", "message['content']", "msg.content", "msg['content']", "m.content"];
    let loops = |c: &&str| source.contains(&format!(" in {c} ")) || source.contains(&format!(" in {c}%"));
    let asks = ["content is string", "content'] is string", "content is iterable", "content is not string"];
    contents.iter().any(loops) || asks.iter().any(|a| source.contains(a))
}

/// The messages as a template value, tool calls' arguments parsed if `parsed`.
pub(super) fn value(messages: &serde_json::Value, takes_parts: bool, parsed: bool) -> Value {
    match messages {
        serde_json::Value::Array(list) => list.iter().map(|m| message(m, takes_parts, parsed)).collect(),
        other => json::value(other),
    }
}

/// Whether any tool call has its arguments as text.
pub(super) fn has_text_arguments(messages: &serde_json::Value) -> bool {
    let calls = messages.as_array().into_iter().flatten().filter_map(|m| m.get("tool_calls")?.as_array());
    calls.flatten().any(|call| call.pointer("/function/arguments").is_some_and(serde_json::Value::is_string))
}

fn message(message: &serde_json::Value, takes_parts: bool, parsed: bool) -> Value {
    let serde_json::Value::Object(map) = message else { return json::value(message) };
    let mut map = map.clone();
    if parsed && let Some(serde_json::Value::Array(calls)) = map.get_mut("tool_calls") {
        calls.iter_mut().for_each(parse_arguments);
    }
    if let Some(text) = map.get("content").filter(|_| !takes_parts).and_then(joined) {
        map.insert("content".into(), text.into());
    }
    let reasoning = REASONING.iter().find_map(|name| map.get(*name).filter(|v| !v.is_null())).cloned();
    if let Some(reasoning) = reasoning {
        map.entry("thinking").or_insert_with(|| reasoning.clone());
        map.insert("reasoning_content".into(), reasoning);
    }
    json::value(&serde_json::Value::Object(map))
}

fn parse_arguments(call: &mut serde_json::Value) {
    let Some(arguments) = call.pointer_mut("/function/arguments") else { return };
    let object = arguments.as_str().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    if let Some(object) = object.filter(serde_json::Value::is_object) {
        *arguments = object;
    }
}

/// The text of a list of text parts, by lines; `None` if it is no such list.
fn joined(content: &serde_json::Value) -> Option<String> {
    let text = |part: &serde_json::Value| match part {
        serde_json::Value::String(text) => Some(text.clone()),
        part => Some(part.get("text")?.as_str()?.to_owned()),
    };
    Some(content.as_array()?.iter().map(text).collect::<Option<Vec<String>>>()?.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_text_by_lines() {
        let parts = serde_json::json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(joined(&parts).as_deref(), Some("a\nb"));
        assert_eq!(joined(&serde_json::json!([{"type": "image_url"}])), None);
        assert_eq!(joined(&serde_json::json!("a")), None);
    }

    #[test]
    fn templates_that_take_parts_are_known() {
        assert!(takes_parts("{% for part in message['content'] %}"));
        assert!(takes_parts("{%- if message.content is string %}"));
        assert!(!takes_parts("{% for m in messages %}{{ m['content'] }}{% endfor %}"));
    }
}
