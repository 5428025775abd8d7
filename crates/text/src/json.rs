//! Tokenizers from tokenizer.json.
use crate::{Tokenizer, TokenizerError};

pub(crate) fn tokenizer(_: &[u8], _: Option<&serde_json::Value>) -> Result<Tokenizer, TokenizerError> {
    Err(TokenizerError::new("tokenizer.json", "not yet"))
}
