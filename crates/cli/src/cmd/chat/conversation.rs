//! The messages of a conversation, in OpenAI's form.

use serde_json::{Map, Value, json};
use whinchat::{Answer, Chat, Model, ToolCall};

use crate::terminal::tagged;

/// What was said, by whom, and with which tools at hand.
#[derive(Clone, Default)]
pub(super) struct Conversation {
    pub(super) system: Option<String>,
    pub(super) tools: Option<Value>,
    /// Without the system's.
    messages: Vec<Value>,
}

/// A conversation that the context has room for.
pub(super) struct Fitted {
    pub(super) chat: Chat,
    /// Exchanges at the beginning that the context has no room for.
    pub(super) left_out: usize,
}

impl Conversation {
    /// A conversation; a system message at its beginning is taken for `system`.
    pub(super) fn new(system: Option<String>, tools: Option<Value>, mut messages: Vec<Value>) -> Conversation {
        let first = messages.first().filter(|m| m["role"] == "system").and_then(|m| m["content"].as_str());
        let own = first.map(str::to_owned);
        messages.drain(..usize::from(own.is_some()));
        Conversation { system: own.or(system), tools, messages }
    }

    /// All messages, the system's first.
    pub(super) fn messages(&self) -> Vec<Value> {
        self.from(0)
    }

    fn from(&self, start: usize) -> Vec<Value> {
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        system.chain(self.messages[start..].iter().cloned()).collect()
    }

    /// All messages and one more.
    pub(super) fn with(&self, message: Value) -> Vec<Value> {
        let mut messages = self.messages();
        messages.push(message);
        messages
    }

    fn push(&mut self, message: Value) {
        self.messages.push(message);
    }

    pub(super) fn ask(&mut self, text: &str) {
        self.push(json!({ "role": "user", "content": text }));
    }

    /// Adds an answer; its calls as text where the model's template has no place for calls (not `structured`).
    pub(super) fn answered(&mut self, answer: &Answer, structured: bool) {
        let mut message = Map::from_iter([("role".to_owned(), json!("assistant"))]);
        if structured && !answer.calls.is_empty() {
            let calls: Vec<Value> = answer.calls.iter().enumerate().map(|(i, call)| self.call(i, call)).collect();
            let content = if answer.text.is_empty() { Value::Null } else { json!(answer.text) };
            message.extend([("content".to_owned(), content), ("tool_calls".to_owned(), calls.into())]);
        } else {
            let text = Some(answer.text.clone()).filter(|text| !text.is_empty());
            let parts: Vec<String> = text.into_iter().chain(answer.calls.iter().map(tagged)).collect();
            message.insert("content".to_owned(), parts.join("\n").into());
        }
        if !answer.reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), json!(answer.reasoning));
        }
        self.push(message.into());
    }

    fn call(&self, i: usize, call: &ToolCall) -> Value {
        let function = json!({ "name": call.name, "arguments": call.arguments });
        json!({ "id": self.call_id(i), "type": "function", "function": function })
    }

    /// The name of the call `i` of the message at the end: unlike every other in the conversation.
    fn call_id(&self, i: usize) -> String {
        let calls = self.messages.iter().filter_map(|m| m["tool_calls"].as_array());
        format!("call_{}", calls.map(Vec::len).sum::<usize>() + i + 1)
    }

    /// Adds what the call `i` of the last answer gave.
    pub(super) fn result(&mut self, i: usize, call: &ToolCall, content: &str) {
        let last = self.messages.iter().rev().find(|m| m["role"] == "assistant");
        let id = last.map(|m| m["tool_calls"][i]["id"].clone()).unwrap_or_default();
        let mut message = json!({ "role": "tool", "name": call.name, "content": content });
        if id.is_string() {
            message["tool_call_id"] = id;
        }
        self.push(message);
    }

    /// Forgets all that was said; the system message and the tools stay.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Forgets the last exchange and gives what was asked.
    pub(super) fn undo(&mut self) -> Option<String> {
        let at = *self.starts().last()?;
        let asked = self.messages[at]["content"].as_str().unwrap_or_default().to_owned();
        self.messages.truncate(at);
        Some(asked)
    }

    /// Forgets the last answer, so that it can be given anew; false if there is nothing to answer.
    pub(super) fn reopen(&mut self) -> bool {
        let asked = self.messages.iter().rposition(|m| m["role"] != "assistant");
        asked.inspect(|at| self.messages.truncate(at + 1)).is_some()
    }

    /// The text of the last answer.
    pub(super) fn last_answer(&self) -> Option<&str> {
        self.messages.iter().rev().find(|m| m["role"] == "assistant")?["content"].as_str()
    }

    /// How many messages there are, without the system's.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The conversation for an answer of up to `most` tokens. Where the context has no room for it (an eighth of it, if the
    /// answer may be that long), the oldest exchanges are left out, never the last one.
    pub(super) fn fit(
        &self,
        model: &Model,
        most: Option<usize>,
        variables: &Map<String, Value>,
    ) -> Result<Fitted, whinchat::Error> {
        let reserved = model.context() / 8;
        let room = model.context() - most.map_or(reserved, |most| most.min(reserved));
        let starts = self.starts();
        let mut left_out = 0;
        loop {
            let from = if left_out == 0 { 0 } else { starts[left_out] };
            let chat = self.chat(self.from(from), variables);
            let tokens = model.count(&chat)?;
            if left_out + 1 >= starts.len() || tokens <= room {
                return Ok(Fitted { chat, left_out });
            }
            left_out += 1;
        }
    }

    /// What a model is asked about `messages`.
    pub(super) fn chat(&self, messages: Vec<Value>, variables: &Map<String, Value>) -> Chat {
        Chat { tools: self.tools.clone(), variables: variables.clone(), ..Chat::new(messages.into()) }
    }

    /// Where exchanges begin: at what the person says.
    fn starts(&self) -> Vec<usize> {
        (0..self.messages.len()).filter(|at| self.messages[*at]["role"] == "user").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(conversation: &Conversation) -> String {
        let role = |m: &Value| m["role"].as_str().unwrap_or_default()[..1].to_owned();
        conversation.messages().iter().map(role).collect()
    }

    fn conversation(roles: &str) -> Conversation {
        let name = |c| match c {
            's' => "system",
            'u' => "user",
            'a' => "assistant",
            _ => "tool",
        };
        let message = |(i, c): (usize, char)| json!({ "role": name(c), "content": i.to_string() });
        Conversation::new(None, None, roles.chars().enumerate().map(message).collect())
    }

    #[test]
    fn an_exchange_is_forgotten_as_a_whole() {
        let mut c = conversation("suauata");
        assert_eq!((c.undo().as_deref(), roles(&c).as_str()), (Some("3"), "sua"));
        assert_eq!((c.undo().as_deref(), roles(&c).as_str()), (Some("1"), "s"));
        assert_eq!((c.undo(), c.system.as_deref()), (None, Some("0")));
    }

    #[test]
    fn an_answer_is_reopened_up_to_what_it_answers() {
        let mut c = conversation("suata");
        assert!(c.reopen());
        assert_eq!(roles(&c), "suat");
        assert!(c.reopen());
        assert_eq!(roles(&c), "suat");
        assert!(!conversation("s").reopen());
    }

    #[test]
    fn calls_have_names_of_their_own() {
        let call = ToolCall { name: "f".into(), arguments: "{}".into() };
        let said = |calls: &[&ToolCall]| Answer {
            calls: calls.iter().map(|call| (*call).clone()).collect(),
            ..Answer::default()
        };
        let mut c = conversation("u");
        c.answered(&said(&[&call, &call]), true);
        c.result(1, &call, "42");
        c.answered(&said(&[&call]), true);
        let all = c.messages();
        assert_eq!(all[1]["tool_calls"][1]["id"], "call_2");
        assert_eq!((&all[2]["tool_call_id"], &all[2]["content"]), (&json!("call_2"), &json!("42")));
        assert_eq!(all[3]["tool_calls"][0]["id"], "call_3");
        c.answered(&said(&[&call]), false);
        assert_eq!(c.last_answer(), Some("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>"));
    }
}
