//! `POST /api/chat` and `POST /api/generate`: one form of answer, whose text is a message or a `response`.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use answer::{Answer, Event, LoadedModel, Reason, Tally, ToolCall};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::request::{self, Endpoint};
use super::{error, models};
use crate::wire::fields::{self, Fields};
use crate::wire::logprobs::Token;
use crate::wire::stream::Framing;
use crate::wire::{Call, Dialect, Frame, unique};
use crate::{KeepAlive, Problem};

/// The form of an answer of the endpoint `E`.
pub(crate) struct Ollama<E> {
    /// What the client calls the model.
    model: String,
    began: Instant,
    thinking: bool,
    /// Whether the client lets the model go.
    leaves: bool,
    endpoint: PhantomData<E>,
}

impl<E: Endpoint> Dialect for Ollama<E> {
    const FRAMING: Framing = Framing::Lines;

    fn parse(body: &[u8]) -> Result<Call<Ollama<E>>, Problem> {
        let began = Instant::now();
        let map = fields::object(body)?;
        let fields = Fields::of(E::REQUEST, &map)?;
        let think = request::think(fields)?;
        let thinking = think.shown;
        let keep_alive = request::keep_alive(fields)?;
        let (ask, model) = (request::ask::<E>(fields, think)?, fields.string("model")?);
        let stream = fields.bool("stream")?.unwrap_or(true);
        let leaves = keep_alive == Some(KeepAlive::seconds(0.0));
        let dialect =
            Ollama { model: model.unwrap_or_default().to_owned(), began, thinking, leaves, endpoint: PhantomData };
        let model = model.map(|name| models::untagged(name).to_owned());
        Ok(Call { model, ask, keep_alive, stream, dialect })
    }

    fn answered_by(&mut self, name: &str, _: &LoadedModel, _: usize) {
        if self.model.is_empty() {
            self.model = models::tagged(name);
        }
    }

    fn whole(self, answers: Vec<Answer>, tally: &Tally) -> Response {
        let Some(answer) = answers.into_iter().next() else {
            let done_reason = if self.leaves { "unload" } else { "load" };
            return Json(self.reply(Said::default(), Some(Done { done_reason, spent: None }))).into_response();
        };
        let done = self.done(answer.reason.unwrap_or(Reason::Stop), tally);
        let said = Said {
            text: answer.text,
            more: More {
                thinking: Some(answer.reasoning).filter(|text| self.thinking && !text.is_empty()),
                tool_calls: answer.calls.into_iter().enumerate().map(|(i, call)| Called::new(i, call)).collect(),
            },
            logprobs: Token::all(&answer.logprobs),
        };
        Json(self.reply(said, Some(done))).into_response()
    }

    fn event(&mut self, event: Event, tally: &Tally) -> Vec<Frame> {
        let mut said = Said::default();
        match event {
            Event::Text { text, logprobs, .. } => (said.text, said.logprobs) = (text, Token::all(&logprobs)),
            Event::Reasoning { text, .. } if self.thinking => said.more.thinking = Some(text),
            Event::Prompt { .. } | Event::Reasoning { .. } => return Vec::new(),
            // They come whole: nobody asked for pieces.
            Event::ToolCall { call, .. } => {
                let whole = ToolCall { name: call.name.unwrap_or_default(), arguments: call.arguments };
                said.more.tool_calls.push(Called::new(call.index, whole));
            }
            Event::Finished { reason, .. } => {
                return vec![Frame::json(&self.reply(said, Some(self.done(reason, tally))))];
            }
        }
        vec![Frame::json(&self.reply(said, None))]
    }

    fn end(&mut self, _: &Tally) -> Vec<Frame> {
        Vec::new()
    }

    fn failure(&mut self, problem: &Problem) -> Vec<Frame> {
        vec![Frame::json(&error::body(problem))]
    }

    fn problem(problem: &Problem) -> Response {
        error::problem(problem)
    }
}

impl<E: Endpoint> Ollama<E> {
    fn reply(&self, said: Said, done: Option<Done>) -> Reply<'_> {
        let Said { text, more, logprobs } = said;
        let text = match E::MESSAGE {
            true => Text::Chat { message: Message { role: "assistant", content: text, more } },
            false => Text::Completion { response: text, more },
        };
        let created_at = models::time(std::time::SystemTime::now().into());
        Reply { model: &self.model, created_at, text, logprobs, done: done.is_some(), end: done }
    }

    fn done(&self, reason: Reason, tally: &Tally) -> Done {
        let done_reason = match reason {
            Reason::Stop | Reason::ToolCalls => "stop",
            Reason::Length => "length",
        };
        Done { done_reason, spent: Some(Spent::new(self.began.elapsed(), tally)) }
    }
}

/// An answer, or a line of one. Field order is Ollama's.
#[derive(Debug, Serialize)]
struct Reply<'a> {
    model: &'a str,
    created_at: String,
    #[serde(flatten)]
    text: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logprobs: Vec<Token>,
    done: bool,
    #[serde(flatten)]
    end: Option<Done>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Text {
    Chat {
        message: Message,
    },
    Completion {
        response: String,
        #[serde(flatten)]
        more: More,
    },
}

#[derive(Debug, Serialize)]
struct Message {
    role: &'static str,
    content: String,
    #[serde(flatten)]
    more: More,
}

/// What is said beside the text.
#[derive(Debug, Default, Serialize)]
struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called>,
}

#[derive(Debug, Default)]
struct Said {
    text: String,
    more: More,
    logprobs: Vec<Token>,
}

/// A call of a tool.
#[derive(Debug, Serialize)]
struct Called {
    id: String,
    function: Function,
}

#[derive(Debug, Serialize)]
struct Function {
    index: usize,
    name: String,
    arguments: Map<String, Value>,
}

impl Called {
    /// A call, whose arguments are an object as every dialect of models gives them.
    fn new(index: usize, ToolCall { name, arguments }: ToolCall) -> Called {
        let arguments = serde_json::from_str(&arguments).unwrap_or_default();
        Called { id: unique("call_"), function: Function { index, name, arguments } }
    }
}

/// What the end of an answer says.
#[derive(Debug, Serialize)]
struct Done {
    done_reason: &'static str,
    #[serde(flatten)]
    spent: Option<Spent>,
}

/// Tokens, and nanoseconds: in all, before the prompt was submitted, until the first token, and from there on.
#[derive(Debug, Serialize)]
struct Spent {
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: usize,
    /// Of these, how many were found in the KV cache. Ollama counts them, and does not say how many they are.
    prompt_eval_cached_count: usize,
    prompt_eval_duration: u64,
    eval_count: usize,
    eval_duration: u64,
}

impl Spent {
    fn new(total: Duration, tally: &Tally) -> Spent {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let generating = tally.elapsed();
        let first = tally.first_token().unwrap_or(generating);
        Spent {
            total_duration: nanoseconds(total),
            load_duration: nanoseconds(total.saturating_sub(generating)),
            prompt_eval_count: tally.prompt(),
            prompt_eval_cached_count: tally.cached(),
            prompt_eval_duration: nanoseconds(first),
            eval_count: tally.generated(),
            eval_duration: nanoseconds(generating.saturating_sub(first)),
        }
    }
}
