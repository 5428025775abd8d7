//! Request bodies: the items of the input as messages of a chat, and what the answer has to be.

use std::sync::Arc;

use answer::{Ask, Chat, Constrained, Constraint, Ending, Input, Kind, Problem, ToolChoice};
use serde_json::{Map, Value, json};

use super::events::Say;
use super::items::Items;
use super::owned::Owned;
use super::{Responses, new_id, stored};
use crate::wire::fields::{self, Fields, MAX_MESSAGES, MAX_TOOLS, unsupported, within, wrong_type};
use crate::wire::logprobs::MAX_LOGPROBS;
use crate::wire::openai::request::{model, service};
use crate::wire::sampling::sampling;
use crate::wire::{Call, known, now, unique};

/// Reads a request's body; what it goes on from is in the store.
pub(super) fn read(body: &[u8], store: &Owned) -> Result<Call<Responses>, crate::Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::RESPONSES, &map)?;
    let stream = fields.bool("stream")?.unwrap_or(false);
    let background = fields.bool("background")?.unwrap_or(false);
    let kept = fields.bool("store")?.unwrap_or(true);
    if background && !kept {
        let message = "background needs store: the answer is fetched later.";
        return Err(Problem::of(Kind::InvalidValue, "background", message).into());
    }
    let (messages, input) = conversation(fields, store)?;
    let ask = ask(fields, &messages, stream)?;
    let dialect = Responses {
        id: new_id(),
        asked: asked(fields, &ask, (background, kept))?,
        messages,
        input,
        background,
        store: kept.then(|| store.clone()),
        log: (background && stream).then(Arc::default),
        items: Items::default(),
        reason: None,
        reasoning_tokens: 0,
        say: Say::default(),
    };
    Ok(Call { model: model(fields)?, ask: Some(ask), keep_alive: None, stream, dialect })
}

/// The conversation that a request puts to the model.
pub(super) fn prompt(fields: Fields<'_>, store: &Owned) -> Result<Chat, crate::Problem> {
    let (messages, _) = conversation(fields, store)?;
    // Checked, and not part of the prompt.
    format(fields)?;
    Ok(chat(fields, &messages)?)
}

/// The messages of a conversation, without instructions, and the items of the request that adds to it.
fn conversation(fields: Fields<'_>, store: &Owned) -> Result<(Vec<Value>, Vec<Value>), crate::Problem> {
    let previous = fields.string("previous_response_id")?;
    let before = |id: &str| store.messages(id).ok_or_else(|| stored::unknown("previous_response_id", id));
    let mut messages = previous.map_or(Ok(Vec::new()), before)?;
    let input = input(fields)?;
    for (i, item) in input.iter().enumerate() {
        add(&mut messages, &format!("input[{i}]"), item)?;
    }
    if messages.is_empty() {
        return Err(Problem::of(Kind::InvalidValue, "input", "input is empty. Write at least one item.").into());
    }
    Ok((messages, input))
}

/// The items of the input, each with its name; a text is a user's message.
fn input(fields: Fields<'_>) -> Result<Vec<Value>, Problem> {
    let items = match fields.required("input")? {
        Value::String(text) => vec![json!({ "type": "message", "role": "user", "content": text })],
        Value::Array(_) => fields.list("input", MAX_MESSAGES)?.cloned().unwrap_or_default(),
        other => return Err(wrong_type("input", "a string or an array of items", other)),
    };
    let named = |(i, item): (usize, Value)| match item {
        Value::Object(mut item) => {
            let known = Fields::new(&item);
            let inside = |e| within(&format!("input[{i}]"), e);
            let (kind, id) = (known.string("type").map_err(inside)?, known.string("id").map_err(inside)?);
            let (kind, id) = (kind.unwrap_or("message").to_owned(), id.map_or_else(|| unique("item_"), str::to_owned));
            item.extend([("type".to_owned(), kind.into()), ("id".to_owned(), id.into())]);
            Ok(Value::Object(item))
        }
        other => Err(wrong_type(&format!("input[{i}]"), "an object", &other)),
    };
    items.into_iter().enumerate().map(named).collect()
}

/// Adds what an item says to the conversation.
fn add(messages: &mut Vec<Value>, path: &str, item: &Value) -> Result<(), Problem> {
    let Value::Object(map) = item else { return Err(wrong_type(path, "an object", item)) };
    let fields = Fields::new(map);
    let inside = |e| within(path, e);
    match fields.string("type").map_err(inside)? {
        None | Some("message") => push(messages, message(fields).map_err(inside)?),
        Some("function_call") => {
            let call = call(fields).map_err(inside)?;
            let calls = &mut assistant(messages)["tool_calls"];
            match calls {
                Value::Array(calls) => calls.push(call),
                none => *none = json!([call]),
            }
        }
        Some("function_call_output") => messages.push(output(fields).map_err(inside)?),
        Some("reasoning") => {
            let text = parts(fields.array("content").map_err(inside)?.map_or(&[][..], Vec::as_slice));
            messages.push(json!({ "role": "assistant", "content": null, "reasoning_content": text }));
        }
        Some(other) => return Err(unsupported(path, &format!("of type {other}"))),
    }
    Ok(())
}

/// Adds a message; the assistant's goes on from its reasoning.
fn push(messages: &mut Vec<Value>, message: Value) {
    match messages.last_mut() {
        Some(last) if message["role"] == "assistant" && last["role"] == "assistant" && last["content"].is_null() => {
            last["content"] = message["content"].clone();
        }
        _ => messages.push(message),
    }
}

/// The assistant's turn that is open, or a new one.
fn assistant(messages: &mut Vec<Value>) -> &mut Value {
    if messages.last().is_none_or(|last| last["role"] != "assistant") {
        messages.push(json!({ "role": "assistant", "content": null }));
    }
    let last = messages.len() - 1;
    &mut messages[last]
}

/// A message in the words of chats.
fn message(fields: Fields<'_>) -> Result<Value, Problem> {
    let role = fields.required("role")?;
    let content = match fields.required("content")? {
        Value::Array(items) => {
            let part = |(i, part): (usize, &Value)| text_part(&format!("content[{i}]"), part);
            Value::Array(items.iter().enumerate().map(part).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    };
    Ok(json!({ "role": role, "content": content }))
}

fn text_part(path: &str, part: &Value) -> Result<Value, Problem> {
    let text = match part["type"].as_str() {
        Some("input_text" | "output_text" | "text") => &part["text"],
        Some("refusal") => &part["refusal"],
        Some(other) => return Err(unsupported(path, &format!("of type {other}"))),
        None => return Err(wrong_type(path, "a part with its type", part)),
    };
    match text {
        Value::String(text) => Ok(json!({ "type": "text", "text": text })),
        other => Err(wrong_type(&format!("{path}.text"), "a string", other)),
    }
}

/// The texts of parts, joined.
fn parts(parts: &[Value]) -> String {
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

fn call(fields: Fields<'_>) -> Result<Value, Problem> {
    let (id, name) = (fields.required("call_id")?, fields.required("name")?);
    let arguments = fields.string("arguments")?.unwrap_or("{}");
    Ok(json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }))
}

fn output(fields: Fields<'_>) -> Result<Value, Problem> {
    let content = match fields.required("output")? {
        Value::String(text) => text.clone(),
        Value::Array(items) => parts(items),
        other => return Err(wrong_type("output", "a string or an array of parts", other)),
    };
    Ok(json!({ "role": "tool", "tool_call_id": fields.required("call_id")?, "content": content }))
}

fn chat(fields: Fields<'_>, messages: &[Value]) -> Result<Chat, Problem> {
    let instructions = fields.string("instructions")?.filter(|text| !text.is_empty());
    let system = instructions.map(|text| json!({ "role": "system", "content": text }));
    let messages = Value::Array(system.into_iter().chain(messages.iter().cloned()).collect());
    let (tools, tool_choice) = tools(fields)?;
    Ok(Chat {
        tools,
        tool_choice,
        parallel_tool_calls: fields.bool("parallel_tool_calls")?.unwrap_or(true),
        variables: variables(fields)?,
        ..Chat::new(text::normalized_messages(&messages)?)
    })
}

fn ask(fields: Fields<'_>, messages: &[Value], stream: bool) -> Result<Ask, Problem> {
    let chat = chat(fields, messages)?;
    let ending = Ending { max_tokens: fields.count("max_output_tokens", 1)?, ..Ending::default() };
    Ok(Ask {
        sampling: sampling(fields)?,
        ending,
        constrained: format(fields)?,
        logprobs: logprobs(fields)?,
        service: service(fields)?,
        pieces: stream,
        ..Ask::new(Input::Chat(chat))
    })
}

/// The tools, and whether they must be called; `none` hides them from the model.
fn tools(fields: Fields<'_>) -> Result<(Option<Value>, ToolChoice), Problem> {
    let items = fields.list("tools", MAX_TOOLS)?.map_or(&[][..], Vec::as_slice);
    let tool = |(i, item): (usize, &Value)| tool(&format!("tools[{i}]"), item);
    let tools: Vec<Value> = items.iter().enumerate().map(tool).collect::<Result<_, _>>()?;
    let choice = match fields.get("tool_choice") {
        None => ToolChoice::Auto,
        Some(Value::String(choice)) if choice == "auto" => ToolChoice::Auto,
        Some(Value::String(choice)) if choice == "none" => return Ok((None, ToolChoice::Auto)),
        Some(Value::String(choice)) if choice == "required" => ToolChoice::Required,
        Some(choice) => match choice["name"].as_str() {
            Some(name) if choice["type"] == "function" => ToolChoice::Named(name.to_owned()),
            _ => return Err(unsupported("tool_choice", "other than auto, none, required and a function by its name")),
        },
    };
    Ok(((!tools.is_empty()).then_some(Value::Array(tools)), choice))
}

/// A function in the words of chats.
fn tool(path: &str, item: &Value) -> Result<Value, Problem> {
    match item["type"].as_str() {
        Some("function") => {}
        Some(other) => return Err(unsupported(path, &format!("of type {other}"))),
        None => return Err(wrong_type(path, "a tool with its type", item)),
    }
    let mut function = item.as_object().cloned().unwrap_or_default();
    function.remove("type");
    Fields::new(&function).required("name").map_err(|e| within(path, e))?;
    Ok(json!({ "type": "function", "function": function }))
}

/// What templates are told of reasoning and of how much is to be said.
fn variables(fields: Fields<'_>) -> Result<Map<String, Value>, Problem> {
    let mut variables = fields.object("chat_template_kwargs")?.cloned().unwrap_or_default();
    let reasoning = fields.object("reasoning")?.map(Fields::new);
    let effort = reasoning.map_or(Ok(None), |reasoning| reasoning.string("effort"));
    if let Some(effort) = effort.map_err(|e| within("reasoning", e))? {
        variables.entry("reasoning_effort").or_insert_with(|| effort.into());
    }
    let text = fields.object("text")?.map(Fields::new);
    let verbosity = text.map_or(Ok(None), |text| text.string("verbosity"));
    if let Some(verbosity) = verbosity.map_err(|e| within("text", e))? {
        variables.entry("verbosity").or_insert_with(|| verbosity.into());
    }
    Ok(variables)
}

/// What the answer has to fit: `text.format`.
fn format(fields: Fields<'_>) -> Result<Option<Constrained>, Problem> {
    let Some(text) = fields.object("text")?.map(Fields::new) else { return Ok(None) };
    let Some(format) = text.object("format").map_err(|e| within("text", e))?.map(Fields::new) else { return Ok(None) };
    let inside = |e| within("text.format", e);
    let (constraint, name) = match format.string("type").map_err(inside)? {
        None | Some("text") => return Ok(None),
        Some("json_object") => (Constraint::json_object(), ""),
        Some("json_schema") => (Constraint::JsonSchema(format.required("schema").map_err(inside)?.clone()), ".schema"),
        Some(other) => return Err(unsupported("text.format", &format!("of type {other}"))),
    };
    Ok(Some(Constrained { constraint, param: format!("text.format{name}") }))
}

/// Whether log-probabilities are included, and of how many alternatives.
fn logprobs(fields: Fields<'_>) -> Result<Option<usize>, Problem> {
    let top = fields.integer("top_logprobs", 0..=MAX_LOGPROBS)?;
    let include = fields.array("include")?.map_or(&[][..], Vec::as_slice);
    let wanted = include.iter().any(|item| item == "message.output_text.logprobs") || top.is_some_and(|top| top > 0);
    Ok(wanted.then(|| usize::try_from(top.unwrap_or(0)).unwrap_or(0)))
}

/// What a response repeats of its request.
fn asked(fields: Fields<'_>, ask: &Ask, (background, kept): (bool, bool)) -> Result<Map<String, Value>, Problem> {
    let or = |name: &str, default: Value| fields.get(name).cloned().unwrap_or(default);
    fields.object("metadata")?;
    let reasoning = fields.object("reasoning")?.map(Fields::new);
    let effort = reasoning.and_then(|reasoning| reasoning.get("effort")).cloned();
    let asked = json!({
        "created_at": now(), "background": background, "instructions": or("instructions", Value::Null),
        "max_output_tokens": ask.ending.max_tokens, "model": or("model", "".into()),
        "parallel_tool_calls": or("parallel_tool_calls", true.into()),
        "previous_response_id": or("previous_response_id", Value::Null),
        "reasoning": { "effort": effort, "summary": null }, "store": kept,
        "temperature": ask.sampling.temperature, "top_p": ask.sampling.top_p, "top_logprobs": ask.logprobs.unwrap_or(0),
        "text": or("text", json!({ "format": { "type": "text" } })), "tool_choice": or("tool_choice", "auto".into()),
        "tools": or("tools", json!([])), "truncation": "disabled", "metadata": or("metadata", json!({})),
    });
    let mut asked = match asked {
        Value::Object(asked) => asked,
        _ => Map::new(),
    };
    // It has no word for nobody.
    asked.extend(fields.get("user").map(|user| ("user".to_owned(), user.clone())));
    Ok(asked)
}
