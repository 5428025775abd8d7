//! What a parser gives, and the loop that feeds a dialect's state machine.

use std::fmt::Debug;

use super::output::Output;

/// A part of an answer. Parts of the same kind that follow each other belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The answer.
    Text(String),
    /// What the model thinks before it answers.
    Reasoning(String),
    /// A call of a tool, or the next piece of one.
    ToolCall(ToolDelta),
}

/// A piece of a tool call, as OpenAI streams them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDelta {
    /// Which call of the answer, from 0.
    pub index: usize,
    /// The tool's name, with the first piece of each call.
    pub name: Option<String>,
    /// The next piece of the arguments, a JSON object once all pieces are put together.
    pub arguments: String,
}

/// How the calls of an answer are wanted.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions<'a> {
    /// The tools offered, OpenAI's array. The types of their parameters decide what an untyped format means by `5`, and
    /// formats without markers (bare JSON) are taken for a call only if it names one of these tools.
    pub tools: Option<&'a serde_json::Value>,
    /// Give every call of an answer, not only the first (`parallel_tool_calls`).
    pub parallel: bool,
    /// Give arguments as they come. A call that breaks off later then ends where it breaks, and the rest is text. Without
    /// it a call is given when it is whole, and a malformed one is text from its first character on.
    pub pieces: bool,
}

impl Default for CallOptions<'_> {
    fn default() -> Self {
        CallOptions { tools: None, parallel: true, pieces: false }
    }
}

/// Separates an answer into its parts as its text comes. What is given is certain: it never depends on how the text was
/// cut into pieces.
#[derive(Debug)]
pub struct Parser {
    machine: Box<dyn Machine>,
    /// Text that more text may give another meaning.
    held: String,
    output: Output,
}

/// A dialect's state machine. What it does with the beginning of a text must not depend on what follows, unless it asks
/// for more text first.
pub(super) trait Machine: Debug + Send {
    /// Reads the beginning of `text` as far as its meaning is certain: how many bytes are done with (0 if only the state
    /// changed), or `None` if nothing is certain before more text comes.
    fn read(&mut self, text: &str, output: &mut Output) -> Option<usize>;

    /// Reads the last of the text.
    fn finish(&mut self, text: &str, output: &mut Output);

    /// What ends the reasoning that it is within; nothing if it is not.
    fn reasoning_ends(&self) -> Vec<&'static str>;
}

impl Parser {
    pub(super) fn new(machine: Box<dyn Machine>, options: &CallOptions<'_>) -> Parser {
        Parser { machine, held: String::new(), output: Output::new(options.parallel, options.pieces) }
    }

    /// Feeds text and gives the parts that are now certain.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        let mut read = 0;
        while let Some(more) = self.machine.read(&self.held[read..], &mut self.output) {
            read += more;
        }
        self.held.drain(..read);
        self.output.take()
    }

    /// Gives what was held back, at the end. A call that is not whole is text, its marker included.
    pub fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        self.machine.finish(&held, &mut self.output);
        self.output.take()
    }

    /// Whether all calls that are wanted are there: with `parallel: false` once the first is whole. Generating more is in
    /// vain then.
    pub fn has_enough(&self) -> bool {
        self.output.has_enough()
    }

    /// The texts any of which ends the reasoning that the answer is within now; none if it is within none.
    pub fn reasoning_ends(&self) -> Vec<&'static str> {
        self.machine.reasoning_ends()
    }

    /// How many calls were given or begun.
    pub fn calls(&self) -> usize {
        self.output.calls()
    }
}
