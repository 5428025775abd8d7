//! The items of a response as they grow: reasoning, a message, calls of functions.

use answer::{Answer, Event, ToolDelta};
use serde_json::{Value, json};

use super::events::Say;
use crate::wire::logprobs::Token;
use crate::wire::unique;

/// The items so far; the last may be growing.
#[derive(Default)]
pub(super) struct Items {
    done: Vec<Value>,
    open: Option<Open>,
}

/// An item that is growing.
struct Open {
    kind: Kind,
    id: String,
    /// Its text, or its arguments.
    text: String,
    /// Log-probabilities of its tokens.
    logprobs: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Message,
    /// Of a function, with the call's place in the answer.
    Call {
        at: usize,
        call_id: String,
        name: String,
    },
}

/// The events that would make an answer.
pub(super) fn events(answer: Answer) -> Vec<Event> {
    let Answer { prompt: _, text, reasoning, calls, logprobs, reason, stop, usage } = answer;
    let mut events = Vec::new();
    if !reasoning.is_empty() {
        events.push(Event::Reasoning { choice: 0, text: reasoning });
    }
    if !text.is_empty() || !logprobs.is_empty() {
        events.push(Event::Text { choice: 0, text, logprobs });
    }
    let call = |(index, call): (usize, answer::ToolCall)| Event::ToolCall {
        choice: 0,
        call: ToolDelta { index, name: Some(call.name), arguments: call.arguments },
    };
    events.extend(calls.into_iter().enumerate().map(call));
    events.extend(reason.map(|reason| Event::Finished { choice: 0, reason, stop, usage }));
    events
}

impl Items {
    /// All of them, the growing one as it is.
    pub(super) fn all(&self) -> Vec<Value> {
        self.done.iter().cloned().chain(self.open.as_ref().map(|open| open.item("in_progress"))).collect()
    }

    /// Takes an event, and says what it makes of the items.
    pub(super) fn add(&mut self, event: Event, say: &mut Say) {
        match event {
            Event::Text { text, logprobs, .. } if !text.is_empty() || !logprobs.is_empty() => {
                let tokens = Token::all(&logprobs).iter().map(|token| json!(token)).collect();
                self.grow(Kind::Message, &text, tokens, say);
            }
            Event::Reasoning { text, .. } => self.grow(Kind::Reasoning, &text, Vec::new(), say),
            Event::ToolCall { call, .. } => {
                let kind = self.called(call.index, call.name);
                self.grow(kind, &call.arguments, Vec::new(), say);
            }
            Event::Prompt { .. } | Event::Text { .. } | Event::Finished { .. } => {}
        }
    }

    /// No more comes; an answer that was cut off leaves its last item incomplete.
    pub(super) fn end(&mut self, complete: bool, say: &mut Say) {
        self.close(if complete { "completed" } else { "incomplete" }, say);
    }

    /// The assistant's message that the items are, for the next turn.
    pub(super) fn message(&self) -> Option<Value> {
        let text = |kind: &str| {
            let items = self.done.iter().filter(|item| item["type"] == kind);
            items.filter_map(|item| item["content"][0]["text"].as_str()).collect::<String>()
        };
        let call = |item: &Value| {
            json!({ "id": item["call_id"], "type": "function",
                    "function": { "name": item["name"], "arguments": item["arguments"] } })
        };
        let calls: Vec<_> = self.done.iter().filter(|item| item["type"] == "function_call").map(call).collect();
        let (content, reasoning) = (text("message"), text("reasoning"));
        let content = Some(content).filter(|content| !content.is_empty() || calls.is_empty());
        let mut message = json!({ "role": "assistant", "content": content });
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        if !reasoning.is_empty() {
            message["reasoning_content"] = reasoning.into();
        }
        (!self.done.is_empty()).then_some(message)
    }

    /// The call of this number: the one that grows, or a new one.
    fn called(&self, at: usize, name: Option<String>) -> Kind {
        match &self.open {
            Some(Open { kind: kind @ Kind::Call { at: known, .. }, .. }) if *known == at => kind.clone(),
            _ => Kind::Call { at, call_id: unique("call_"), name: name.unwrap_or_default() },
        }
    }

    fn grow(&mut self, kind: Kind, text: &str, logprobs: Vec<Value>, say: &mut Say) {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.close("completed", say);
            self.begin(kind, say);
        }
        let index = self.done.len();
        let Some(open) = &mut self.open else { return };
        open.text += text;
        let mut delta = json!({ "item_id": open.id, "output_index": index, "delta": text });
        let event = match open.kind {
            Kind::Call { .. } => "response.function_call_arguments.delta",
            Kind::Reasoning => {
                delta["content_index"] = 0.into();
                "response.reasoning_text.delta"
            }
            Kind::Message => {
                (delta["content_index"], delta["logprobs"]) = (0.into(), json!(logprobs));
                "response.output_text.delta"
            }
        };
        open.logprobs.extend(logprobs);
        if !text.is_empty() {
            say.event(event, delta);
        }
    }

    fn begin(&mut self, kind: Kind, say: &mut Say) {
        let prefix = match kind {
            Kind::Reasoning => "rs_",
            Kind::Message => "msg_",
            Kind::Call { .. } => "fc_",
        };
        let open = Open { kind, id: unique(prefix), text: String::new(), logprobs: Vec::new() };
        let index = self.done.len();
        let mut item = open.item("in_progress");
        if item["type"] != "function_call" {
            item["content"] = json!([]);
        }
        say.event("response.output_item.added", json!({ "output_index": index, "item": item }));
        if let Some(part) = open.part() {
            let at = json!({ "item_id": open.id, "output_index": index, "content_index": 0, "part": part });
            say.event("response.content_part.added", at);
        }
        self.open = Some(open);
    }

    fn close(&mut self, status: &str, say: &mut Say) {
        let Some(open) = self.open.take() else { return };
        let index = self.done.len();
        let mut done = json!({ "item_id": open.id, "output_index": index });
        if let Kind::Call { name, .. } = &open.kind {
            (done["name"], done["arguments"]) = (json!(name), json!(open.text));
            say.event("response.function_call_arguments.done", done);
        } else {
            (done["content_index"], done["text"]) = (0.into(), json!(open.text));
            let part = json!({ "item_id": open.id, "output_index": index, "content_index": 0, "part": open.part() });
            if open.kind == Kind::Message {
                done["logprobs"] = json!(open.logprobs);
                say.event("response.output_text.done", done);
            } else {
                say.event("response.reasoning_text.done", done);
            }
            say.event("response.content_part.done", part);
        }
        let item = open.item(status);
        say.event("response.output_item.done", json!({ "output_index": index, "item": item }));
        self.done.push(item);
    }
}

impl Open {
    fn item(&self, status: &str) -> Value {
        let Open { kind, id, text, .. } = self;
        match kind {
            Kind::Reasoning => {
                json!({ "id": id, "type": "reasoning", "summary": [], "content": [self.part()], "status": status })
            }
            Kind::Message => {
                json!({ "id": id, "type": "message", "role": "assistant", "status": status, "content": [self.part()] })
            }
            Kind::Call { call_id, name, .. } => json!({
                "id": id, "type": "function_call", "call_id": call_id, "name": name, "arguments": text,
                "status": status,
            }),
        }
    }

    /// The one part of its content.
    fn part(&self) -> Option<Value> {
        match self.kind {
            Kind::Reasoning => Some(json!({ "type": "reasoning_text", "text": self.text })),
            Kind::Message => Some(json!({
                "type": "output_text", "text": self.text, "annotations": [], "logprobs": self.logprobs,
            })),
            Kind::Call { .. } => None,
        }
    }
}
