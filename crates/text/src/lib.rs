//! Text to tokens and back: tokenizers, chat templates, streaming decode, stop strings, dialects, grammars,
//! constraints.
//!
//! Architecture invariant: this crate knows nothing of models, tensors, HTTP or async runtimes.

mod added;
mod alphabet;
mod base64;
mod bpe;
mod charsmap;
mod classes;
mod constraint;
mod decode;
mod dialects;
mod encode;
mod encoders;
mod export;
mod fast;
mod gguf;
mod gguf_vocab;
mod grammar;
mod jinja;
mod json;
mod merge;
mod normalize;
mod pipeline;
mod pre;
mod pretokenize;
mod scan;
mod sentencepiece;
mod special;
mod split;
mod spm;
mod stop;
mod template;
mod tiktoken;
mod tokenizer;
mod trie;
mod ugm;
mod unigram;
mod vocab;
mod whole;
mod wordpiece;

// What tests read shared assets with, here and from outside.
#[cfg(test)]
extern crate self as text;
#[cfg(test)]
#[path = "../tests/text/common.rs"]
#[allow(dead_code)]
mod common;

pub use constraint::{Calls, Constrainer, Constraint, ConstraintError, ConstraintMatcher};
pub use decode::StreamDecoder;
pub use dialects::{CallOptions, Dialect, Parser, Part, ToolDelta};
pub use encode::{Encode, EncodeError};
pub use encoders::{BatchMode, Encoding, TokenizerConfig, TokenizerStatistics};
pub use gguf_vocab::{GgufVocab, TokenKind};
pub use grammar::{Grammar, GrammarError, GrammarMatcher};
pub use special::FillIn;
pub use stop::StopStrings;
pub use template::{
    ChatPrompt, ChatTemplate, Conversation, MessageError, MessageErrorKind, TemplateError, builtin_template,
    builtin_template_names, normalized_messages,
};
pub use tokenizer::{EncodeOptions, Tokenizer, TokenizerError};
