//! Text to tokens and back: tokenizers, chat templates, streaming decode, stop strings, dialects, grammars,
//! constraints.
//!
//! Architecture invariant: this crate knows nothing of models, tensors, HTTP or async.

mod added;
mod alphabet;
mod bpe;
mod charsmap;
mod classes;
mod constraint;
mod decode;
mod dialects;
mod export;
mod gguf;
mod grammar;
mod jinja;
mod json;
mod merge;
mod normalize;
mod pipeline;
mod pre;
mod pretokenize;
mod special;
mod split;
mod spm;
mod stop;
mod template;
mod tokenizer;
mod trie;
mod ugm;
mod unigram;
mod vocab;
mod wordpiece;

pub use constraint::{Calls, Constrainer, Constraint, ConstraintError, ConstraintMatcher};
pub use decode::StreamDecoder;
pub use dialects::{CallOptions, Dialect, Parser, Part, ToolDelta};
pub use grammar::{Grammar, GrammarError, GrammarMatcher};
pub use stop::StopStrings;
pub use template::{
    ChatPrompt, ChatTemplate, Conversation, MessageError, MessageErrorKind, TemplateError, builtin_template,
    builtin_template_names, normalized_messages,
};
pub use tokenizer::{EncodeOptions, GgufVocab, TokenKind, Tokenizer, TokenizerError};
