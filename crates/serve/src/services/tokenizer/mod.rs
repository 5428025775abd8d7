//! The tokenizer that stands alone: texts to tokens and back. Both ends, and what goes between them.

mod client;
mod service;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use text::{ChatPrompt, Tokenizer};

pub use client::RemoteTokenizer;
pub use service::TokenizerService;

/// A text to encode, or several.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Texts {
    text: String,
    texts: Vec<String>,
    add_special: bool,
    parse_special: bool,
    /// The vocabulary that the ids must be of.
    vocabulary: Option<String>,
}

/// A rendered conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rendered {
    text: String,
    /// The end of each part in bytes, and whether the template wrote it.
    parts: Vec<(usize, bool)>,
    /// The template's source.
    #[serde(default)]
    source: String,
    #[serde(default)]
    vocabulary: Option<String>,
}

impl Rendered {
    fn of(prompt: &ChatPrompt, vocabulary: &str) -> Rendered {
        let (text, source) = (prompt.text().to_owned(), prompt.source().to_owned());
        Rendered { text, parts: prompt.parts(), source, vocabulary: Some(vocabulary.to_owned()) }
    }
}

/// Tokens to decode.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    ids: Vec<u32>,
    /// Whether control tokens give text too.
    #[serde(default)]
    special: bool,
}

/// The tokens of a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Encoded {
    ids: Vec<u32>,
    vocabulary: String,
}

/// What is known of a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Vocabulary {
    vocabulary: String,
    tokens: usize,
    bos: Option<u32>,
    eos: Option<u32>,
}

impl Vocabulary {
    fn of(tokenizer: &Tokenizer) -> Vocabulary {
        let (tokens, bos, eos) = (tokenizer.vocab(), tokenizer.bos(), tokenizer.eos());
        Vocabulary { vocabulary: fingerprint(tokenizer), tokens, bos, eos }
    }
}

/// Names a vocabulary: equal ones turn the same ids into the same texts.
fn fingerprint(tokenizer: &Tokenizer) -> String {
    let mut hash = Sha256::new();
    for id in 0..tokenizer.vocab() as u32 {
        let (piece, bytes) = (tokenizer.piece(id).unwrap_or_default(), tokenizer.bytes(id));
        for part in [piece.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    let digest = hash.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
