//! What a template can take, found out once by trying, and messages in that form.

use serde_json::{Map, Value, json};

/// Renders messages for a trial; `None` if the template fails on them.
type Trial<'a> = &'a dyn Fn(&Value) -> Option<String>;

/// What a template can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Contents may be lists of parts.
    pub lists: bool,
    /// Contents may be texts.
    pub texts: bool,
    /// A content may be null beside tool calls.
    pub null: bool,
    /// The system may speak.
    pub system: bool,
    /// Arguments of calls are put together as text, not as an object.
    pub text_arguments: bool,
    /// Ids of calls are nine letters and digits.
    pub short_ids: bool,
    /// It is no chat's, but shows a query and a document, which are messages of roles of these names.
    pub pairs: bool,
}

/// What trials look for in what is rendered.
const NEEDLE: &str = "qzneedle";

impl Needs {
    /// Finds out what a template needs.
    pub(super) fn of(render: Trial<'_>) -> Needs {
        let shows = |messages: &Value| render(messages).is_some_and(|text| text.contains(NEEDLE));
        let user = json!({ "role": "user", "content": "a" });
        let texts = shows(&json!([{ "role": "user", "content": NEEDLE }]));
        // A list that is printed as it is shows its keys.
        let parts = render(&json!([{ "role": "user", "content": [{ "type": "text", "text": NEEDLE }] }]));
        let lists = parts.is_some_and(|text| text.contains(NEEDLE) && !shows_key(&text, "type"));
        // A template that shows nothing of what is said has another use than a chat.
        let system = !texts && !lists || shows(&json!([{ "role": "system", "content": NEEDLE }, user]));
        let pair = json!([{ "role": "query", "content": NEEDLE }, { "role": "document", "content": "qzother" }]);
        let pairs =
            !texts && !lists && render(&pair).is_some_and(|all| all.contains(NEEDLE) && all.contains("qzother"));
        let short_ids = calls(render, json!({}), json!(""), "call_1").is_none()
            && calls(render, json!({}), json!(""), SHORT_ID).is_some();
        let id = if short_ids { SHORT_ID } else { "call_1" };
        let empty = calls(render, json!({}), json!(""), id);
        let null = calls(render, json!({}), Value::Null, id);
        let null = null.is_some_and(|text| !text.contains("None") || empty.is_some_and(|text| text.contains("None")));
        let arguments = json!({ NEEDLE: 1 });
        let object = calls(render, arguments.clone(), json!(""), id);
        let text = calls(render, python_json(&arguments).into(), json!(""), id);
        let quoted = format!("\"{NEEDLE}\": 1");
        let text_arguments = !object
            .is_some_and(|shown| shown.contains(NEEDLE) && !shown.contains(&format!("'{NEEDLE}'")))
            && text.is_some_and(|shown| shown.contains(&quoted));
        Needs { lists, texts: texts || !lists, null, system, text_arguments, short_ids, pairs }
    }

    /// Messages, normalised, in the form that the template takes.
    pub(super) fn apply(self, messages: &Value) -> Value {
        let list = messages.as_array().into_iter().flatten().cloned();
        let mut list: Vec<Value> = list.map(|message| self.message(message)).collect();
        if !self.system {
            merge_system(&mut list);
        }
        Value::Array(list)
    }

    fn message(self, mut message: Value) -> Value {
        let Value::Object(map) = &mut message else { return message };
        match map.get_mut("content") {
            Some(content @ Value::Array(_)) if !self.lists => *content = joined(content).into(),
            Some(content @ Value::String(_)) if !self.texts => *content = json!([{ "type": "text", "text": content }]),
            Some(content @ Value::Null) if !self.null => *content = if self.texts { json!("") } else { json!([]) },
            _ => {}
        }
        for call in map.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(arguments) = call.pointer_mut("/function/arguments") {
                *arguments = if self.text_arguments { text_of(arguments) } else { object_of(arguments) };
            }
            if let Some(id) = call.get_mut("id").filter(|_| self.short_ids) {
                *id = short_id(id.as_str().unwrap_or_default()).into();
            }
        }
        if let Some(id) = map.get_mut("tool_call_id").filter(|_| self.short_ids) {
            *id = short_id(id.as_str().unwrap_or_default()).into();
        }
        message
    }
}

const SHORT_ID: &str = "call00001";

/// A call and its result, rendered.
fn calls(render: Trial<'_>, arguments: Value, content: Value, id: &str) -> Option<String> {
    let call = json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": arguments } });
    render(&json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": content, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": id, "name": "f", "content": "b" },
    ]))
}

fn shows_key(text: &str, key: &str) -> bool {
    text.contains(&format!("'{key}'")) || text.contains(&format!("\"{key}\""))
}

/// The text of a list of parts, by lines.
fn joined(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten();
    parts.filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
}

/// Arguments as an object. What is none stands in one.
fn object_of(arguments: &Value) -> Value {
    let Value::String(text) = arguments else { return arguments.clone() };
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(map) => Value::Object(map),
        Err(_) if text.trim().is_empty() => json!({}),
        Err(_) => json!({ "arguments": text }),
    }
}

/// Arguments as JSON in a text.
fn text_of(arguments: &Value) -> Value {
    match arguments {
        Value::String(text) if text.trim().is_empty() => "{}".into(),
        Value::String(_) => arguments.clone(),
        other => python_json(other).into(),
    }
}

/// Nine letters and digits for an id, the same for the same id: its own if there are nine, else some that are computed.
fn short_id(id: &str) -> String {
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    // FNV-1a.
    let mut hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let letter = |_| {
        let letter = letters[(hash % 62) as usize];
        hash /= 62;
        char::from(letter)
    };
    (0..9).map(letter).collect()
}

/// Puts what the system says at the beginning into the first of the user's messages.
fn merge_system(list: &mut Vec<Value>) {
    let systems = list.iter().take_while(|message| message["role"] == "system").count();
    let said: Vec<String> = list.drain(..systems).map(|message| text_of_content(&message)).collect();
    if said.is_empty() {
        return;
    }
    let said = said.join("\n\n");
    match list.iter_mut().find(|message| message["role"] == "user") {
        Some(user) => put_before(user, &said),
        None => list.insert(0, json!({ "role": "user", "content": said })),
    }
}

fn put_before(message: &mut Value, text: &str) {
    match &mut message["content"] {
        Value::Array(parts) => parts.insert(0, json!({ "type": "text", "text": format!("{text}\n\n") })),
        content => *content = format!("{text}\n\n{}", content.as_str().unwrap_or_default()).into(),
    }
}

fn text_of_content(message: &Value) -> String {
    message["content"].as_str().map_or_else(|| joined(&message["content"]), str::to_owned)
}

/// A conversation for a template that refuses it as it is: turns alternate from the user's on, what the system says
/// later stands at the beginning, and calls and results of tools are texts if the template says nothing of them.
pub(super) fn plainer(messages: &Value, knows_calls: bool) -> Value {
    let mut plain: Vec<Value> = Vec::new();
    for message in messages.as_array().into_iter().flatten() {
        let mut message = message.clone();
        if !knows_calls {
            calls_as_text(&mut message);
        }
        let answers = message["role"] == "assistant";
        let begins = plain.last().is_none_or(|last| last["role"] == "system");
        match plain.last_mut() {
            Some(_) if message["role"] == "system" => to_system(&mut plain, &message),
            Some(last) if follows(last, &message) => {
                let text = format!("{}\n\n{}", text_of_content(last), text_of_content(&message));
                last["content"] = text.into();
            }
            _ if begins && answers => plain.extend([json!({ "role": "user", "content": "" }), message]),
            _ => plain.push(message),
        }
    }
    Value::Array(plain)
}

/// Whether a message goes on with what the one before it says.
fn follows(last: &Value, message: &Value) -> bool {
    let calls = |message: &Value| message.get("tool_calls").is_some();
    let speaks = matches!(message["role"].as_str(), Some("user" | "assistant"));
    speaks && last["role"] == message["role"] && !calls(last) && !calls(message)
}

fn to_system(plain: &mut Vec<Value>, message: &Value) {
    let said = text_of_content(message);
    if plain[0]["role"] == "system" {
        plain[0]["content"] = format!("{}\n\n{said}", text_of_content(&plain[0])).into();
    } else {
        plain.insert(0, json!({ "role": "system", "content": said }));
    }
}

fn calls_as_text(message: &mut Value) {
    let content = text_of_content(message);
    let Value::Object(map) = message else { return };
    if map.get("role").is_some_and(|role| role == "tool") {
        map.insert("role".into(), "user".into());
    }
    let Some(Value::Array(calls)) = map.remove("tool_calls") else { return };
    let texts = calls.iter().map(|call| {
        let function = &call["function"];
        python_json(&json!({ "name": function["name"], "arguments": object_of(&function["arguments"]) }))
    });
    let all: Vec<String> = Some(content).filter(|text| !text.is_empty()).into_iter().chain(texts).collect();
    map.insert("content".into(), all.join("\n").into());
}

/// Tools with all that templates ask of them: a description and parameters. None are an empty list.
pub(super) fn complete(tools: Option<&Value>) -> Value {
    let mut tools = tools.cloned().unwrap_or_else(|| json!([]));
    for tool in tools.as_array_mut().into_iter().flatten() {
        let function = if tool.get("function").is_some() { &mut tool["function"] } else { tool };
        let Value::Object(function) = function else { continue };
        let missing = |value: &Option<&Value>| value.is_none_or(Value::is_null);
        if missing(&function.get("description")) {
            function.insert("description".into(), "".into());
        }
        if missing(&function.get("parameters")) {
            function.insert("parameters".into(), json!({ "type": "object", "properties": {} }));
        }
        if let Some(Value::Object(parameters)) = function.get_mut("parameters") {
            parameters.entry("properties").or_insert_with(|| json!({}));
        }
    }
    tools
}

/// JSON as Python writes it, a space after commas and colons.
fn python_json(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{}: {}", Value::from(key.as_str()), python_json(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
