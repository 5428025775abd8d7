//! The event stream of a message: content blocks that begin, grow and end one after another.

use answer::Event;
use serde::Serialize;

use super::reply::{Block, Message, Stopped, Usage};
use crate::wire::Frame;

/// What has been said of a message so far.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Blocks that have ended.
    ended: usize,
    open: Option<Kind>,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    /// A call, by its index.
    Call(usize),
}

/// An event; its name is its type.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said<'a> {
    MessageStart { message: &'a Message },
    Ping,
    ContentBlockStart { index: usize, content_block: Block },
    ContentBlockDelta { index: usize, delta: Delta },
    ContentBlockStop { index: usize },
    MessageDelta { delta: Stopped, usage: Usage },
    MessageStop,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
}

impl Events {
    /// The message begins.
    pub(super) fn begin(&self, message: &Message) -> Vec<Frame> {
        vec![frame(&Said::MessageStart { message }), frame(&Said::Ping)]
    }

    /// More of its content.
    pub(super) fn more(&mut self, event: Event) -> Vec<Frame> {
        match event {
            Event::Text { text, .. } => self.grow(Kind::Text, String::new(), Delta::Text { text }),
            Event::Reasoning { text, .. } => {
                self.grow(Kind::Thinking, String::new(), Delta::Thinking { thinking: text })
            }
            Event::ToolCall { call, .. } => {
                let delta = Delta::InputJson { partial_json: call.arguments };
                self.grow(Kind::Call(call.index), call.name.unwrap_or_default(), delta)
            }
            Event::Prompt { .. } | Event::Finished { .. } => Vec::new(),
        }
    }

    /// Why it ended.
    pub(super) fn finish(&mut self, delta: Stopped, usage: Usage) -> Vec<Frame> {
        let stop = self.stop();
        stop.into_iter().chain([frame(&Said::MessageDelta { delta, usage })]).collect()
    }

    /// Its end.
    pub(super) fn end(&self) -> Vec<Frame> {
        vec![frame(&Said::MessageStop)]
    }

    /// Adds to the open block if it is of this kind, else to a new one.
    fn grow(&mut self, kind: Kind, name: String, delta: Delta) -> Vec<Frame> {
        if delta.is_empty() && !matches!(kind, Kind::Call(_)) {
            return Vec::new();
        }
        let mut frames = Vec::new();
        if self.open != Some(kind) {
            frames.extend(self.stop());
            self.open = Some(kind);
            frames.push(frame(&Said::ContentBlockStart { index: self.ended, content_block: kind.block(name) }));
        }
        if !delta.is_empty() {
            frames.push(frame(&Said::ContentBlockDelta { index: self.ended, delta }));
        }
        frames
    }

    fn stop(&mut self) -> Option<Frame> {
        self.open.take()?;
        self.ended += 1;
        Some(frame(&Said::ContentBlockStop { index: self.ended - 1 }))
    }
}

impl Kind {
    /// A block of this kind with nothing in it.
    fn block(self, name: String) -> Block {
        match self {
            Kind::Thinking => Block::Thinking { thinking: String::new(), signature: "" },
            Kind::Text => Block::Text { text: String::new() },
            Kind::Call(_) => Block::call(name, "{}"),
        }
    }
}

impl Delta {
    fn is_empty(&self) -> bool {
        match self {
            Delta::Thinking { thinking: text } | Delta::Text { text } | Delta::InputJson { partial_json: text } => {
                text.is_empty()
            }
        }
    }
}

fn frame(said: &Said<'_>) -> Frame {
    let name = match said {
        Said::MessageStart { .. } => "message_start",
        Said::Ping => "ping",
        Said::ContentBlockStart { .. } => "content_block_start",
        Said::ContentBlockDelta { .. } => "content_block_delta",
        Said::ContentBlockStop { .. } => "content_block_stop",
        Said::MessageDelta { .. } => "message_delta",
        Said::MessageStop => "message_stop",
    };
    Frame::named(name, said)
}
