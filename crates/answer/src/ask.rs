//! What is asked of a model, whoever asks.

use std::sync::Arc;
use std::time::Duration;

use engine::{Adapter, Interposed, Priority};
use serde_json::{Map, Value};

use crate::{Constrained, Sampling, ToolChoice};

/// A request to a model. Values are within their ranges; what depends on the model is checked by
/// [`crate::LoadedModel::begin`].
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What to continue.
    pub input: Input,
    /// Answers to each prompt, at least 1.
    pub n: usize,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// When to stop.
    pub ending: Ending,
    /// What each answer has to fit, once it has done with reasoning.
    pub constrained: Option<Constrained>,
    /// Report log-probabilities of each token and of this many most likely ones.
    pub logprobs: Option<usize>,
    /// The same of the prompt's tokens ([`crate::Event::Prompt`]).
    pub prompt_logprobs: Option<usize>,
    /// How it is served among others.
    pub service: Service,
    /// The adapter of the model that it is answered with.
    pub adapter: Option<Arc<Adapter>>,
    /// What the answer is likely to be: where it is, it comes faster.
    pub prediction: Option<String>,
    /// Leave control tokens out of the text.
    pub skip_special_tokens: bool,
    /// Give the arguments of tool calls in pieces as they come, not whole.
    pub pieces: bool,
}

impl Ask {
    /// One answer to `input`, by the model's own settings.
    pub fn new(input: Input) -> Ask {
        let (sampling, ending) = (Sampling::default(), Ending::default());
        Ask {
            input,
            n: 1,
            sampling,
            ending,
            constrained: None,
            logprobs: None,
            prompt_logprobs: None,
            service: Service::default(),
            adapter: None,
            prediction: None,
            skip_special_tokens: true,
            pieces: false,
        }
    }
}

/// How a request is served among others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// How urgent it is.
    pub priority: Priority,
    /// How long it may take from the moment it is submitted; then it ends with an error.
    pub time_limit: Option<Duration>,
    /// On whose behalf it is asked.
    pub tenant: Option<String>,
    /// Only requests with the same salt use what the KV cache keeps of each other's prompts and answers.
    pub cache_salt: Option<String>,
    /// What is called before each batch with rows of it: it may take time or fail in the model's place.
    pub interposed: Option<Interposed>,
}

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
// It is moved a few times for each request: a box would save nothing.
#[allow(clippy::large_enum_variant)]
pub enum Input {
    /// A conversation.
    Chat(Chat),
    /// Prompts, at least one; each gets n answers.
    Prompts {
        /// The prompts.
        items: Vec<PromptText>,
        /// Start each answer with its prompt. With [`Ask::logprobs`] its tokens are reported too.
        echo: bool,
        /// Recognise control tokens that are written out in the texts.
        parse_special: bool,
        /// What comes after each answer, which fills the gap; by the model's own tokens for that.
        suffix: Option<String>,
    },
}

impl Input {
    /// A text to continue. Control tokens are recognised: who writes a prompt without a template writes the model's format by
    /// hand.
    pub fn text(text: impl Into<String>) -> Input {
        let items = vec![PromptText::Text(text.into())];
        Input::Prompts { items, echo: false, parse_special: true, suffix: None }
    }
}

/// A conversation for the model's chat template.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// OpenAI's messages, an array of objects.
    pub messages: Value,
    /// OpenAI's tools, an array.
    pub tools: Option<Value>,
    /// Whether an answer has to call them; if so, this is what it has to fit, and nothing else.
    pub tool_choice: ToolChoice,
    /// End the prompt with the start of an answer.
    pub add_generation_prompt: bool,
    /// The last message is the beginning of the answer.
    pub continue_final_message: bool,
    /// Whether an answer may call more than one tool.
    pub parallel_tool_calls: bool,
    /// Further variables of the template.
    pub variables: Map<String, Value>,
}

impl Chat {
    /// A conversation that the model answers.
    pub fn new(messages: Value) -> Chat {
        Chat {
            messages,
            tools: None,
            tool_choice: ToolChoice::Auto,
            add_generation_prompt: true,
            continue_final_message: false,
            parallel_tool_calls: true,
            variables: Map::new(),
        }
    }
}

/// A prompt as text or as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptText {
    /// Text to tokenize.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

/// When an answer ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Most tokens; `None` for what the context leaves.
    pub max_tokens: Option<usize>,
    /// No stop token before this many.
    pub min_tokens: usize,
    /// Go on past the model's own stop tokens.
    pub ignore_eos: bool,
    /// Further stop tokens.
    pub token_ids: Vec<u32>,
    /// Texts that end the answer.
    pub strings: Vec<String>,
    /// The text that ended it is a part of it.
    pub include: bool,
}
