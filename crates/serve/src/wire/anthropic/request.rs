//! Request bodies of messages.

use answer::{Ask, Chat, Constrained, Constraint, Ending, Input, Kind, Problem, ToolChoice};
use serde_json::{Map, Value, json};

use super::messages;
use crate::wire::fields::{Fields, MAX_STOPS, MAX_TOOLS, unsupported, within, wrong_type};
use crate::wire::sampling::sampling;

/// Whether the model should think, and whether it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thinking {
    wanted: bool,
    pub(super) shown: bool,
}

/// What is asked.
pub(super) fn ask(fields: Fields<'_>, thinking: Thinking, stream: bool) -> Result<Ask, Problem> {
    fields.required("max_tokens")?;
    let max_tokens = fields.count("max_tokens", 1)?;
    let strings = fields.strings("stop_sequences", MAX_STOPS)?;
    let ending = Ending { max_tokens, strings, ..Ending::default() };
    let (input, constrained) = (Input::Chat(chat(fields, thinking)?), format(fields)?);
    Ok(Ask { sampling: sampling(fields)?, ending, constrained, pieces: stream, ..Ask::new(input) })
}

/// The schema that the answer has to fit: `output_config.format`, which was `output_format` before.
fn format(fields: Fields<'_>) -> Result<Option<Constrained>, Problem> {
    let output = fields.object("output_config")?.map(Fields::new);
    let (found, path) = match output.and_then(|output| output.get("format")) {
        Some(_) => (output.map_or(Ok(None), |output| output.object("format")), "output_config.format"),
        None => (fields.object("output_format"), "output_format"),
    };
    let Some(format) = found.map_err(|e| if path.contains('.') { within("output_config", e) } else { e })? else {
        return Ok(None);
    };
    let inside = |e| within(path, e);
    match Fields::new(format).required("type").map_err(inside)?.as_str() {
        Some("json_schema") => {}
        other => return Err(unsupported(path, &format!("of type {}", other.unwrap_or("that is no string")))),
    }
    let schema = Fields::new(format).required("schema").map_err(inside)?.clone();
    Ok(Some(Constrained { constraint: Constraint::JsonSchema(schema), param: format!("{path}.schema") }))
}

/// The conversation.
pub(super) fn chat(fields: Fields<'_>, thinking: Thinking) -> Result<Chat, Problem> {
    let (messages, continues) = messages::messages(fields)?;
    let (tools, tool_choice, parallel_tool_calls) = tools(fields)?;
    Ok(Chat {
        tools,
        tool_choice,
        add_generation_prompt: !continues,
        continue_final_message: continues,
        parallel_tool_calls,
        variables: variables(fields, thinking)?,
        ..Chat::new(Value::Array(messages))
    })
}

/// Thinking is off where nothing is said of it.
pub(super) fn thinking(fields: Fields<'_>) -> Result<Thinking, Problem> {
    let Some(map) = fields.object("thinking")? else { return Ok(Thinking { wanted: false, shown: false }) };
    let thinking = Fields::new(map);
    let inside = |e| within("thinking", e);
    let hidden = thinking.string("display").map_err(inside)? == Some("omitted");
    let kind = thinking.required("type").map_err(inside)?;
    match kind.as_str() {
        Some("enabled" | "adaptive") => Ok(Thinking { wanted: true, shown: !hidden }),
        Some("disabled") => Ok(Thinking { wanted: false, shown: false }),
        Some(other) => Err(unsupported("thinking.type", other)),
        None => Err(wrong_type("thinking.type", "a string", kind)),
    }
}

/// What templates call it.
fn variables(fields: Fields<'_>, thinking: Thinking) -> Result<Map<String, Value>, Problem> {
    let mut variables = Map::new();
    variables.insert("enable_thinking".into(), thinking.wanted.into());
    let Some(output) = fields.object("output_config")? else { return Ok(variables) };
    let output = Fields::new(output);
    let inside = |e| within("output_config", e);
    if let Some(effort) = output.string("effort").map_err(inside)? {
        variables.insert("reasoning_effort".into(), effort.into());
    }
    Ok(variables)
}

/// The tools that the model is shown, as OpenAI writes them, whether an answer must call them, and whether it may call more
/// than one.
fn tools(fields: Fields<'_>) -> Result<(Option<Value>, ToolChoice, bool), Problem> {
    let items = fields.list("tools", MAX_TOOLS)?.map_or(&[][..], Vec::as_slice);
    let tools = items.iter().enumerate().map(|(i, item)| tool(&format!("tools[{i}]"), item));
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    let (choice, parallel) = tool_choice(fields)?;
    let shown = Some(Value::Array(tools)).filter(|_| choice.is_some() && !items.is_empty());
    Ok((shown, choice.unwrap_or_default(), parallel))
}

/// Whether tools must be called (`None`: they are hidden from the model), and whether it may call several.
fn tool_choice(fields: Fields<'_>) -> Result<(Option<ToolChoice>, bool), Problem> {
    let Some(map) = fields.object("tool_choice")? else { return Ok((Some(ToolChoice::Auto), true)) };
    let choice = Fields::new(map);
    let inside = |e| within("tool_choice", e);
    let parallel = !choice.bool("disable_parallel_tool_use").map_err(inside)?.unwrap_or(false);
    match choice.string("type").map_err(inside)? {
        Some("auto") | None => Ok((Some(ToolChoice::Auto), parallel)),
        Some("none") => Ok((None, parallel)),
        Some("any") => Ok((Some(ToolChoice::Required), parallel)),
        Some("tool") => {
            let name = choice.required("name").map_err(inside)?;
            let name = name.as_str().ok_or_else(|| wrong_type("tool_choice.name", "a string", name))?;
            Ok((Some(ToolChoice::Named(name.to_owned())), parallel))
        }
        Some(other) => Err(unsupported("tool_choice", &format!("of type {other}"))),
    }
}

fn tool(param: &str, item: &Value) -> Result<Value, Problem> {
    let Value::Object(map) = item else { return Err(wrong_type(param, "an object", item)) };
    let fields = Fields::new(map);
    let inside = |e| within(param, e);
    match fields.string("type").map_err(inside)? {
        None | Some("custom") => {}
        Some(kind) => return Err(unsupported(param, &format!("of type {kind}"))),
    }
    let name = fields.required("name").map_err(inside)?;
    let mut function = json!({ "name": name });
    if let Some(description) = fields.string("description").map_err(inside)? {
        function["description"] = description.into();
    }
    let schema = fields.object("input_schema").map_err(inside)?;
    function["parameters"] = schema.map_or_else(|| json!({ "type": "object", "properties": {} }), |map| json!(map));
    Ok(json!({ "type": "function", "function": function }))
}

/// Refuses a role that the API does not have.
pub(super) fn wrong_role(param: &str, role: &Value) -> Problem {
    let message = format!("{param}.role must be `user` or `assistant`, but it is {role}. A system prompt is `system`.");
    Problem::of(Kind::InvalidValue, format!("{param}.role"), message)
}
