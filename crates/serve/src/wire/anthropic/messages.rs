//! Messages of content blocks, turned into those that templates expect.

use std::collections::HashMap;

use answer::{Kind, Problem};
use serde_json::{Value, json};

use super::request::wrong_role;
use crate::wire::fields::{Fields, MAX_MESSAGES, unsupported, within, wrong_type};

/// The messages, the system's first, and whether the last one, an assistant's, is to be continued.
pub(super) fn messages(fields: Fields<'_>) -> Result<(Vec<Value>, bool), Problem> {
    fields.required("messages")?;
    let items = fields.list("messages", MAX_MESSAGES)?.map_or(&[][..], Vec::as_slice);
    let mut out = Conversation::default();
    if let Some(system) = fields.get("system") {
        out.messages.push(json!({ "role": "system", "content": text("system", system)? }));
    }
    for (i, item) in items.iter().enumerate() {
        out.add(&format!("messages[{i}]"), item)?;
    }
    let Some(last) = out.messages.last().filter(|_| !items.is_empty()) else {
        return Err(Problem::of(Kind::InvalidValue, "messages", "messages is empty. Write at least one message."));
    };
    let continues = last["role"] == "assistant";
    if continues && last["content"].as_str().is_none_or(|text| text.trim().is_empty()) {
        let message = "The last message is the assistant's; to be continued it needs text.";
        return Err(Problem::of(Kind::InvalidValue, "messages", message));
    }
    Ok((out.messages, continues))
}

#[derive(Default)]
struct Conversation {
    messages: Vec<Value>,
    /// Names of the tools called so far, by the id of the call.
    called: HashMap<String, String>,
}

impl Conversation {
    fn add(&mut self, param: &str, item: &Value) -> Result<(), Problem> {
        let Value::Object(map) = item else { return Err(wrong_type(param, "an object", item)) };
        let inside = |e| within(param, e);
        let role = Fields::new(map).required("role").map_err(inside)?;
        let content = Fields::new(map).required("content").map_err(inside)?;
        let param = &format!("{param}.content");
        let blocks = match content {
            Value::String(text) => vec![Block::Text(text)],
            Value::Array(items) => {
                let block = |(i, item)| Block::read(format!("{param}[{i}]"), item);
                items.iter().enumerate().map(block).collect::<Result<Vec<_>, _>>()?
            }
            other => return Err(wrong_type(param, "a string or an array of content blocks", other)),
        };
        match role.as_str() {
            Some("user") => self.user(param, blocks),
            Some("assistant") => self.assistant(param, blocks),
            _ => Err(wrong_role(param.trim_end_matches(".content"), role)),
        }
    }

    /// Results of tools are messages of their own.
    fn user(&mut self, param: &str, blocks: Vec<Block<'_>>) -> Result<(), Problem> {
        let mut texts = Vec::new();
        let alone = blocks.is_empty();
        for block in blocks {
            match block {
                Block::Text(text) => texts.push(text),
                Block::Result { call, content } => {
                    self.say(&mut texts);
                    let name = self.called.get(call).map_or("", String::as_str);
                    self.messages
                        .push(json!({ "role": "tool", "tool_call_id": call, "name": name, "content": content }));
                }
                Block::Thought(_) | Block::Call { .. } => {
                    return Err(misplaced(param, "thinking and tool_use belong to the assistant"));
                }
                Block::Hidden => {}
            }
        }
        if alone {
            texts.push("");
        }
        self.say(&mut texts);
        Ok(())
    }

    fn say(&mut self, texts: &mut Vec<&str>) {
        if !texts.is_empty() {
            self.messages.push(json!({ "role": "user", "content": texts.join("\n") }));
            texts.clear();
        }
    }

    fn assistant(&mut self, param: &str, blocks: Vec<Block<'_>>) -> Result<(), Problem> {
        let (mut texts, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for block in blocks {
            match block {
                Block::Text(text) => texts.push(text),
                Block::Thought(text) => thoughts.push(text),
                Block::Hidden => {}
                Block::Result { .. } => return Err(misplaced(param, "tool_result belongs to the user")),
                Block::Call { id, name, input } => {
                    self.called.insert(id.into(), name.into());
                    calls.push(
                        json!({ "id": id, "type": "function", "function": { "name": name, "arguments": input } }),
                    );
                }
            }
        }
        let mut message = json!({ "role": "assistant", "content": texts.join("\n") });
        if !thoughts.is_empty() {
            message["reasoning_content"] = thoughts.join("\n").into();
        }
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        self.messages.push(message);
        Ok(())
    }
}

/// A content block.
enum Block<'a> {
    Text(&'a str),
    Thought(&'a str),
    /// Thoughts that only who wrote them can read.
    Hidden,
    Call {
        id: &'a str,
        name: &'a str,
        input: &'a Value,
    },
    Result {
        call: &'a str,
        content: String,
    },
}

impl<'a> Block<'a> {
    fn read(param: String, item: &'a Value) -> Result<Block<'a>, Problem> {
        let Value::Object(map) = item else { return Err(wrong_type(&param, "a content block", item)) };
        let fields = Fields::new(map);
        let string = |name: &str| string(&param, fields, name);
        match string("type")? {
            "text" => Ok(Block::Text(string("text")?)),
            "thinking" => Ok(Block::Thought(string("thinking")?)),
            "redacted_thinking" => Ok(Block::Hidden),
            "tool_use" => {
                let input = fields.required("input").map_err(|e| within(&param, e))?;
                let input = input.is_object().then_some(input);
                let input = input.ok_or_else(|| wrong_type(&format!("{param}.input"), "an object", &item["input"]))?;
                Ok(Block::Call { id: string("id")?, name: string("name")?, input })
            }
            "tool_result" => {
                let content = fields.get("content").map(|value| text(&format!("{param}.content"), value));
                let content = content.transpose()?.unwrap_or_default();
                let failed = fields.bool("is_error").map_err(|e| within(&param, e))?.unwrap_or(false);
                // Templates have no other place for it.
                let content = if failed { format!("Error: {content}") } else { content };
                Ok(Block::Result { call: string("tool_use_id")?, content })
            }
            kind => Err(unsupported(&param, &format!("of type {kind}"))),
        }
    }
}

fn string<'a>(param: &str, fields: Fields<'a>, name: &str) -> Result<&'a str, Problem> {
    let value = fields.required(name).map_err(|e| within(param, e))?;
    value.as_str().ok_or_else(|| wrong_type(&format!("{param}.{name}"), "a string", value))
}

/// Text as a string or as text blocks.
fn text(param: &str, value: &Value) -> Result<String, Problem> {
    let items = match value {
        Value::String(text) => return Ok(text.clone()),
        Value::Array(items) => items,
        other => return Err(wrong_type(param, "a string or an array of text blocks", other)),
    };
    let one = |(i, item)| match Block::read(format!("{param}[{i}]"), item)? {
        Block::Text(text) => Ok(text),
        _ => Err(unsupported(&format!("{param}[{i}]"), "of another type than text")),
    };
    Ok(items.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn misplaced(param: &str, what: &str) -> Problem {
    Problem::of(Kind::InvalidValue, param, format!("{param}: {what}."))
}
