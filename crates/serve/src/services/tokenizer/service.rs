//! The far end: what the tokenizer answers over HTTP.

use std::sync::Arc;

use serde_json::{Value, json};
use text::{ChatPrompt, Encode, EncodeOptions, Tokenizer, TokenizerStatistics};

use super::{Encoded, Rendered, Texts, Tokens, Vocabulary};
use crate::services::{Example, Operation, Refusal, Reply, Service, parsed};

/// A tokenizer over HTTP.
pub struct TokenizerService {
    tokenizer: Arc<Tokenizer>,
    vocabulary: Vocabulary,
}

const TEXT: &str = "{ text: string, add_special?: boolean, parse_special?: boolean, vocabulary?: string | null }";
const TEXTS: &str = "{ texts: string[], add_special?: boolean, parse_special?: boolean, vocabulary?: string | null }";
const CHAT: &str = "{ text: string, parts: any[][], source?: string, vocabulary?: string | null }";
const IDS: &str = "{ ids: integer(0..)[], vocabulary: string }";

const OPERATIONS: [Operation; 6] = [
    Operation::post("/encode", "The tokens of a text", TEXT, IDS).heavy(),
    Operation::post("/encode_batch", "The tokens of several texts", TEXTS, "{ ids: integer[][], vocabulary: string }")
        .heavy(),
    Operation::post(
        "/encode_chat",
        "The tokens of a rendered conversation: only what the template wrote is a mark",
        CHAT,
        IDS,
    )
    .heavy(),
    Operation::post("/decode", "The text of tokens", "{ ids: integer(0..)[], special?: boolean }", "{ text: string }"),
    Operation::post(
        "/pieces",
        "Tokens as the vocabulary writes them",
        "{ ids: integer(0..)[] }",
        "{ pieces: (string | null)[] }",
    ),
    Operation::post(
        "/vocabulary",
        "Which vocabulary it is",
        "object",
        "{ vocabulary: string, tokens: integer, bos: integer | null, eos: integer | null }",
    ),
];

impl TokenizerService {
    /// Answers with this tokenizer.
    pub fn new(tokenizer: Arc<Tokenizer>) -> TokenizerService {
        let vocabulary = Vocabulary::of(&tokenizer);
        TokenizerService { tokenizer, vocabulary }
    }

    /// Whether the caller's vocabulary is this one.
    fn check(&self, theirs: Option<&str>) -> Result<(), Refusal> {
        match theirs {
            Some(theirs) if theirs != self.vocabulary.vocabulary => Err(Refusal::version(format!(
                "The vocabulary {theirs} is asked for, and this is {}.",
                self.vocabulary.vocabulary
            ))),
            _ => Ok(()),
        }
    }

    fn encoded(&self, ids: Vec<u32>) -> Result<Reply, Refusal> {
        Reply::json(&Encoded { ids, vocabulary: self.vocabulary.vocabulary.clone() })
    }

    fn encode(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Texts { text, add_special, parse_special, vocabulary, .. } = parsed(body)?;
        self.check(vocabulary.as_deref())?;
        let ids = Encode::encode(&*self.tokenizer, &text, EncodeOptions { add_special, parse_special });
        self.encoded(ids.map_err(|why| Refusal::internal(why.to_string()))?)
    }

    fn encode_batch(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Texts { texts, add_special, parse_special, vocabulary, .. } = parsed(body)?;
        self.check(vocabulary.as_deref())?;
        let ids = self.tokenizer.encode_batch(&texts, EncodeOptions { add_special, parse_special });
        Reply::json(&json!({ "ids": ids, "vocabulary": self.vocabulary.vocabulary }))
    }

    fn encode_chat(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let Rendered { text, parts, source, vocabulary } = parsed(body)?;
        self.check(vocabulary.as_deref())?;
        let prompt = ChatPrompt::of_parts(text, &parts, source).ok_or_else(|| {
            Refusal::invalid(
                "parts: write the end of each part of the text in bytes, ascending, the last one the text's end.",
            )
        })?;
        let ids = Encode::encode_chat(&*self.tokenizer, &prompt);
        self.encoded(ids.map_err(|why| Refusal::internal(why.to_string()))?)
    }

    /// Tokens of the vocabulary.
    fn known(&self, body: &[u8]) -> Result<Tokens, Refusal> {
        let tokens: Tokens = parsed(body)?;
        match tokens.ids.iter().find(|id| **id as usize >= self.vocabulary.tokens) {
            Some(id) => Err(Refusal::invalid(format!("ids: there is no token {id} of {}.", self.vocabulary.tokens))),
            None => Ok(tokens),
        }
    }

    fn pieces(&self, body: &[u8]) -> Result<Reply, Refusal> {
        let ids = self.known(body)?.ids;
        let pieces: Vec<Option<&str>> = ids.iter().map(|id| self.tokenizer.piece(*id)).collect();
        Reply::json(&json!({ "pieces": pieces }))
    }
}

impl Service for TokenizerService {
    fn name(&self) -> &'static str {
        "tokenizer"
    }

    fn about(&self) -> &'static str {
        "Makes tokens of texts, and texts of tokens."
    }

    fn operations(&self) -> &'static [Operation] {
        &OPERATIONS
    }

    fn examples(&self) -> Vec<Example> {
        let plain = EncodeOptions { add_special: false, parse_special: false };
        let text = "The whinchat is a bird.";
        let ids = self.tokenizer.encode(text, plain);
        let answer = |ids: &[u32]| json!({ "ids": ids, "vocabulary": self.vocabulary.vocabulary });
        let pieces: Vec<Option<&str>> = ids.iter().map(|id| self.tokenizer.piece(*id)).collect();
        let chat = ChatPrompt::trusted(text);
        let parts = json!([[text.len(), true]]);
        let unknown = self.vocabulary.tokens;
        vec![
            Example::new("A text", "/encode", json!({ "text": text }), answer(&ids)),
            Example::new("No text", "/encode", json!({ "text": "" }), answer(&[])),
            Example::new(
                "Two texts",
                "/encode_batch",
                json!({ "texts": [text, ""] }),
                json!({ "ids": [ids, []], "vocabulary": self.vocabulary.vocabulary }),
            ),
            Example::new(
                "A conversation, all of it written by the template",
                "/encode_chat",
                json!({ "text": text, "parts": parts }),
                answer(&self.tokenizer.encode_chat(&chat)),
            ),
            Example::new(
                "And back",
                "/decode",
                json!({ "ids": ids }),
                json!({ "text": self.tokenizer.decode(&ids, false) }),
            ),
            Example::new("The pieces", "/pieces", json!({ "ids": ids }), json!({ "pieces": pieces })),
            Example::new("Which vocabulary it is", "/vocabulary", json!({}), json!(self.vocabulary)),
            Example::refused("No such token", "/decode", json!({ "ids": [unknown] }), (400, "invalid_value")),
            Example::refused(
                "Parts that are not the text's",
                "/encode_chat",
                json!({ "text": text, "parts": [[1, true]] }),
                (400, "invalid_value"),
            ),
            Example::refused(
                "Another vocabulary",
                "/encode",
                json!({ "text": text, "vocabulary": "none" }),
                (409, "version_differs"),
            ),
            Example::refused("A field that there is not", "/encode", json!({ "txt": text }), (400, "invalid_json")),
        ]
    }

    fn call(&self, path: &str, body: &[u8]) -> Result<Reply, Refusal> {
        match path {
            "/encode" => self.encode(body),
            "/encode_batch" => self.encode_batch(body),
            "/encode_chat" => self.encode_chat(body),
            "/pieces" => self.pieces(body),
            "/vocabulary" => Reply::json(&self.vocabulary),
            "/decode" => {
                let Tokens { ids, special } = self.known(body)?;
                Reply::json(&json!({ "text": self.tokenizer.decode(&ids, special) }))
            }
            _ => Err(Refusal::unknown(path)),
        }
    }

    fn state(&self) -> Value {
        let TokenizerStatistics { encodes, tokens, bytes, cache_hits, cache_misses, .. } = self.tokenizer.statistics();
        let config = self.tokenizer.config();
        json!({
            "vocabulary": self.vocabulary,
            "threads": config.threads,
            "encodes": encodes, "tokens": tokens, "bytes": bytes,
            "cache_hits": cache_hits, "cache_misses": cache_misses,
        })
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let statistics = self.tokenizer.statistics();
        vec![
            ("tokens", "Tokens made", statistics.tokens as f64),
            ("text_bytes", "Bytes of text made into tokens", statistics.bytes as f64),
            ("cache_hits", "Words whose tokens were known", statistics.cache_hits as f64),
        ]
    }
}
