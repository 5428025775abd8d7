//! Text to tokens and back: tokenizers, chat templates, streaming decode and stop strings.
//!
//! Architecture invariant: this crate knows nothing of models, tensors, HTTP or async.

mod decode;
mod stop;
mod template;
mod tokenizer;

pub use decode::StreamDecoder;
pub use stop::StopStrings;
pub use template::{ChatTemplate, TemplateError};
pub use tokenizer::{EncodeOptions, GgufVocab, TokenKind, Tokenizer, TokenizerError};
