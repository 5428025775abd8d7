//! A request, understood and checked: what every endpoint's body is parsed into.

use serde_json::{Map, Value};

/// What a client asks for. Values are within their ranges; what depends on the model is checked later.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The model's name; `None` for the first one.
    pub model: Option<String>,
    /// What to continue.
    pub input: Input,
    /// Answers to each prompt, at least 1.
    pub n: usize,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// When to stop.
    pub ending: Ending,
    /// Report log-probabilities of each token and of this many most likely ones.
    pub logprobs: Option<usize>,
    /// Leave control tokens out of the text.
    pub skip_special_tokens: bool,
    /// At once or as a stream.
    pub delivery: Delivery,
}

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A conversation.
    Chat(Chat),
    /// Prompts, at least one; each gets n answers.
    Prompts {
        /// The prompts.
        items: Vec<PromptText>,
        /// Start each answer with its prompt.
        echo: bool,
    },
}

/// A conversation for the model's chat template.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// OpenAI's messages, an array of objects; content parts are joined into text.
    pub messages: Value,
    /// OpenAI's tools, an array.
    pub tools: Option<Value>,
    /// End the prompt with the start of an answer.
    pub add_generation_prompt: bool,
    /// The last message is the beginning of the answer.
    pub continue_final_message: bool,
    /// Further variables of the template.
    pub variables: Map<String, Value>,
}

/// A prompt as text or as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptText {
    /// Text to tokenize.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

/// How to choose tokens; `None` takes the model's suggestion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// 0 keeps all.
    pub top_k: Option<usize>,
    /// 1 keeps all.
    pub top_p: Option<f32>,
    /// 0 keeps all.
    pub min_p: Option<f32>,
    /// 1 keeps all.
    pub typical_p: Option<f32>,
    /// 1 is off.
    pub repetition_penalty: Option<f32>,
    /// 0 is off.
    pub frequency_penalty: Option<f32>,
    /// 0 is off.
    pub presence_penalty: Option<f32>,
    /// Added to logits.
    pub logit_bias: Vec<(u32, f32)>,
    /// Makes sampling repeatable.
    pub seed: Option<u64>,
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
    /// Texts that end the answer and are not part of it.
    pub strings: Vec<String>,
}

/// How the answer is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    Whole,
    /// As events.
    Stream {
        /// With a last event that says how many tokens it took.
        include_usage: bool,
    },
}
