//! `POST /v1/chat/completions`.

use answer::{Answer, Chat, Event, Input, LoadedModel, Problem, Reason, Tally, ToolChoice};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};

use super::logprobs::{ChatLogprobs, prompt_logprobs};
use super::reply::{Head, Usage, finish_reason};
use super::request::{self, Delivery};
use super::{error, messages};
use crate::wire::fields::{self, Fields, MAX_TOOLS, unsupported};
use crate::wire::known;
use crate::wire::logprobs::logprobs;
use crate::wire::{Call, Dialect, Frame, unique};

/// The form of a chat's answer.
pub(crate) struct ChatCompletion {
    head: Head,
    logprobs: bool,
    delivery: Delivery,
    /// Choices whose role has been sent.
    begun: Vec<bool>,
}

impl Dialect for ChatCompletion {
    fn parse(body: &[u8]) -> Result<Call<ChatCompletion>, crate::Problem> {
        let map = fields::object(body)?;
        let fields = Fields::of(&known::CHAT, &map)?;
        refuse_modalities(fields)?;
        let logprobs = logprobs(fields)?;
        // As with OpenAI: an answer is as long as the context allows, and has at least one token.
        let (ask, delivery) = request::ask(fields, Input::Chat(chat(fields)?), logprobs, (1, None))?;
        let head = Head::new("chatcmpl", delivery.object("chat.completion", "chat.completion.chunk"), "");
        let dialect = ChatCompletion { head, logprobs: logprobs.is_some(), delivery, begun: Vec::new() };
        Ok(Call {
            model: request::model(fields)?,
            ask: Some(ask),
            keep_alive: None,
            stream: delivery.streams(),
            dialect,
        })
    }

    fn answered_by(&mut self, name: &str, _: &LoadedModel, choices: usize) {
        self.head.model = name.to_owned();
        self.begun = vec![false; choices];
    }

    fn id(&self) -> Option<&str> {
        Some(self.head.id())
    }

    fn whole(self, answers: Vec<Answer>, tally: &Tally) -> Response {
        // The prompt is the same for all.
        let prompt = answers.first().and_then(|answer| prompt_logprobs(&answer.prompt));
        let choices = answers.into_iter().enumerate().map(|(i, answer)| Choice::new(i, answer, self.logprobs));
        self.head.whole(choices.collect(), prompt, tally)
    }

    fn event(&mut self, event: Event, _: &Tally) -> Vec<Frame> {
        let index = event.choice();
        // The first chunk of each choice says who speaks.
        let opening = (!std::mem::replace(&mut self.begun[index], true)).then(|| {
            let delta = Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() };
            self.chunk(ChoiceDelta { index, delta, logprobs: None, finish_reason: None })
        });
        let chunk = self.chunk(ChoiceDelta::new(event, self.logprobs));
        opening.into_iter().chain([chunk]).collect()
    }

    fn end(&mut self, tally: &Tally) -> Vec<Frame> {
        let usage =
            self.delivery.usage().then(|| self.head.chunk(Vec::<ChoiceDelta>::new(), Some(Some(Usage::of(tally)))));
        usage.into_iter().chain([Frame::data("[DONE]")]).collect()
    }

    fn failure(&mut self, problem: &crate::Problem) -> Vec<Frame> {
        vec![Frame::json(&error::body(problem)), Frame::data("[DONE]")]
    }

    fn problem(problem: &crate::Problem) -> Response {
        error::problem(problem)
    }
}

impl ChatCompletion {
    fn chunk(&self, choice: ChoiceDelta) -> Frame {
        self.head.chunk(vec![choice], self.delivery.usage().then_some(None))
    }
}

/// A choice, whole.
#[derive(Debug, Serialize)]
struct Choice {
    index: usize,
    message: Message,
    logprobs: Option<ChatLogprobs>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Message {
    role: &'static str,
    /// Null where there is nothing but calls.
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    refusal: Option<()>,
}

/// A call of a tool, or a part of one.
#[derive(Debug, Serialize)]
struct ToolCall {
    /// Its place in the message, said in streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: Function,
}

#[derive(Debug, Serialize)]
struct Function {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    arguments: String,
}

impl ToolCall {
    /// The parts that belong to a call's beginning are there where its name is.
    fn new(index: Option<usize>, name: Option<String>, arguments: String) -> ToolCall {
        let begins = name.is_some();
        let (id, r#type) = (begins.then(|| unique("call-")), begins.then_some("function"));
        ToolCall { index, id, r#type, function: Function { name, arguments } }
    }
}

impl Choice {
    fn new(index: usize, answer: Answer, logprobs: bool) -> Choice {
        let Answer { text, reasoning, calls, logprobs: tokens, reason, .. } = answer;
        let content = Some(text).filter(|text| !text.is_empty() || calls.is_empty());
        let reasoning_content = Some(reasoning).filter(|text| !text.is_empty());
        let tool_calls = calls.into_iter().map(|call| ToolCall::new(None, Some(call.name), call.arguments)).collect();
        Choice {
            index,
            message: Message { role: "assistant", content, reasoning_content, tool_calls, refusal: None },
            logprobs: logprobs.then(|| ChatLogprobs::new(&tokens)),
            finish_reason: finish_reason(reason.unwrap_or(Reason::Stop)),
        }
    }
}

/// A part of a choice.
#[derive(Debug, Serialize)]
struct ChoiceDelta {
    index: usize,
    delta: Delta,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}

impl ChoiceDelta {
    fn new(event: Event, with_logprobs: bool) -> ChoiceDelta {
        let (mut delta, mut logprobs, mut reason) = (Delta::default(), None, None);
        let index = event.choice();
        match event {
            Event::Text { text, logprobs: tokens, .. } => {
                delta.content = Some(text);
                logprobs = with_logprobs.then(|| ChatLogprobs::new(&tokens));
            }
            Event::Reasoning { text, .. } => delta.reasoning_content = Some(text),
            Event::ToolCall { call, .. } => {
                delta.tool_calls = vec![ToolCall::new(Some(call.index), call.name, call.arguments)];
            }
            Event::Finished { reason: why, .. } => reason = Some(finish_reason(why)),
            // Told of in whole answers.
            Event::Prompt { .. } => {}
        }
        ChoiceDelta { index, delta, logprobs, finish_reason: reason }
    }
}

/// The conversation of a request.
pub(crate) fn chat(fields: Fields<'_>) -> Result<Chat, Problem> {
    let continue_final_message = fields.bool("continue_final_message")?.unwrap_or(false);
    let add_generation_prompt = fields.bool("add_generation_prompt")?.unwrap_or(!continue_final_message);
    let messages = messages::messages(fields)?;
    let (tools, tool_choice) = tools(fields)?;
    Ok(Chat {
        messages,
        tools,
        tool_choice,
        add_generation_prompt,
        continue_final_message,
        parallel_tool_calls: fields.bool("parallel_tool_calls")?.unwrap_or(true),
        variables: variables(fields)?,
    })
}

fn refuse_modalities(fields: Fields<'_>) -> Result<(), Problem> {
    let modalities = fields.array("modalities")?.map_or(&[][..], Vec::as_slice);
    match modalities.iter().find(|item| *item != "text") {
        None => Ok(()),
        Some(other) => Err(unsupported("modalities", &format!("with {other}"))),
    }
}

/// The tools, and whether they must be called; `none` hides them from the model.
fn tools(fields: Fields<'_>) -> Result<(Option<Value>, ToolChoice), Problem> {
    let tools = fields.list("tools", MAX_TOOLS)?.filter(|tools| !tools.is_empty());
    let choice = match fields.get("tool_choice") {
        None => ToolChoice::Auto,
        Some(Value::String(choice)) if choice == "auto" => ToolChoice::Auto,
        Some(Value::String(choice)) if choice == "none" => return Ok((None, ToolChoice::Auto)),
        Some(Value::String(choice)) if choice == "required" => ToolChoice::Required,
        Some(choice) => match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) if choice["type"] == "function" => ToolChoice::Named(name.to_owned()),
            _ => return Err(unsupported("tool_choice", "other than auto, none, required and a function by its name")),
        },
    };
    Ok((tools.map(|tools| Value::Array(tools.clone())), choice))
}

fn variables(fields: Fields<'_>) -> Result<Map<String, Value>, Problem> {
    let mut variables = fields.object("chat_template_kwargs")?.cloned().unwrap_or_default();
    for name in ["reasoning_effort", "verbosity"] {
        if let Some(word) = fields.string(name)? {
            variables.entry(name).or_insert_with(|| word.into());
        }
    }
    Ok(variables)
}
