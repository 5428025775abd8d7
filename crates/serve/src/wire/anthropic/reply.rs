//! `POST /v1/messages`: the message that answers.

use answer::{Answer, Event, LoadedModel, Problem as Refused, Reason, Tally, ToolCall};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::events::Events;
use super::{error, request};
use crate::Problem;
use crate::wire::fields::{self, Fields};
use crate::wire::stream::Framing;
use crate::wire::{Call, Dialect, Frame, known, unique};

/// The form of a message.
pub(crate) struct Messages {
    message: Message,
    /// Whether thinking is shown.
    thinking: bool,
    events: Events,
}

impl Dialect for Messages {
    const FRAMING: Framing = Framing::Events { ping: Some(("ping", r#"{"type":"ping"}"#)) };

    fn parse(body: &[u8]) -> Result<Call<Messages>, Problem> {
        let map = fields::object(body)?;
        let fields = Fields::of(&known::MESSAGES, &map)?;
        let stream = fields.bool("stream")?.unwrap_or(false);
        let thinking = request::thinking(fields)?;
        let ask = request::ask(fields, thinking, stream)?;
        let dialect = Messages { message: Message::new(), thinking: thinking.shown, events: Events::default() };
        Ok(Call { model: model(fields)?, ask: Some(ask), keep_alive: None, stream, dialect })
    }

    fn answered_by(&mut self, name: &str, _: &LoadedModel, _: usize) {
        self.message.model = name.to_owned();
    }

    fn id(&self) -> Option<&str> {
        Some(&self.message.id)
    }

    fn whole(self, answers: Vec<Answer>, tally: &Tally) -> Response {
        let answer = answers.into_iter().next().unwrap_or_default();
        let (stop_reason, stop_sequence) =
            (answer.reason.map(|reason| word(reason, &answer.stop)), answer.stop.clone());
        let content = Block::all(answer, self.thinking);
        let usage = Usage::of(tally);
        Json(Message { content, stop_reason, stop_sequence, usage, ..self.message }).into_response()
    }

    fn begin(&mut self, tally: &Tally) -> Vec<Frame> {
        self.message.usage = Usage::of(tally);
        self.events.begin(&self.message)
    }

    fn event(&mut self, event: Event, tally: &Tally) -> Vec<Frame> {
        match event {
            Event::Reasoning { .. } if !self.thinking => Vec::new(),
            Event::Finished { reason, stop, .. } => {
                let stop_reason = word(reason, &stop);
                self.events.finish(Stopped { stop_reason, stop_sequence: stop }, Usage::of(tally))
            }
            other => self.events.more(other),
        }
    }

    fn end(&mut self, _: &Tally) -> Vec<Frame> {
        self.events.end()
    }

    fn failure(&mut self, problem: &Problem) -> Vec<Frame> {
        vec![Frame::named("error", &error::body(problem))]
    }

    fn problem(problem: &Problem) -> Response {
        error::problem(problem)
    }
}

fn model(fields: Fields<'_>) -> Result<Option<String>, Refused> {
    Ok(fields.string("model")?.map(str::to_owned))
}

/// A message. Field order is Anthropic's.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: String,
    content: Vec<Block>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<String>,
    usage: Usage,
}

impl Message {
    fn new() -> Message {
        Message {
            id: unique("msg_"),
            r#type: "message",
            role: "assistant",
            model: String::new(),
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: Usage::default(),
        }
    }
}

/// Tokens that a message took. Those of the prompt that were found in the KV cache are not among `input_tokens`; nobody asks for
/// others to be kept, so none count as created.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Usage {
    input_tokens: usize,
    cache_creation_input_tokens: usize,
    cache_read_input_tokens: usize,
    output_tokens: usize,
}

impl Usage {
    fn of(tally: &Tally) -> Usage {
        Usage {
            input_tokens: tally.prompt().saturating_sub(tally.cached()),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: tally.cached(),
            output_tokens: tally.generated(),
        }
    }
}

/// Why a message ended.
#[derive(Debug, Serialize)]
pub(super) struct Stopped {
    stop_reason: &'static str,
    stop_sequence: Option<String>,
}

/// A content block, whole, or as it begins.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Thinking {
        thinking: String,
        /// Nobody signs it, and nobody asks for it.
        signature: &'static str,
    },
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
    },
}

impl Block {
    /// A call, whose arguments are an object as every dialect of models gives them.
    pub(super) fn call(name: String, arguments: &str) -> Block {
        Block::ToolUse { id: unique("toolu_"), name, input: serde_json::from_str(arguments).unwrap_or_default() }
    }

    fn all(answer: Answer, thinking: bool) -> Vec<Block> {
        let Answer { text, reasoning, calls, .. } = answer;
        let thought = Some(reasoning).filter(|text| thinking && !text.is_empty());
        let thought = thought.map(|thinking| Block::Thinking { thinking, signature: "" });
        let said = Some(text).filter(|text| !text.is_empty()).map(|text| Block::Text { text });
        let calls = calls.into_iter().map(|ToolCall { name, arguments }| Block::call(name, &arguments));
        thought.into_iter().chain(said).chain(calls).collect()
    }
}

fn word(reason: Reason, stop: &Option<String>) -> &'static str {
    match reason {
        Reason::Stop if stop.is_some() => "stop_sequence",
        Reason::Stop => "end_turn",
        Reason::Length => "max_tokens",
        Reason::ToolCalls => "tool_use",
    }
}
