//! The model's own generation settings, and the tokens that end an answer, from every place that tells.

use serde_json::Value as Json;

use super::{Checkpoint, Format};
use crate::metadata::List;
use crate::{FromValue, Metadata, ModelError};

/// The model's own suggestions for sampling (generation_config.json), and its end tokens from every source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// Temperature.
    pub temperature: Option<f32>,
    /// Top-k.
    pub top_k: Option<usize>,
    /// Top-p.
    pub top_p: Option<f32>,
    /// Min-p.
    pub min_p: Option<f32>,
    /// Repetition penalty.
    pub repetition_penalty: Option<f32>,
    /// Token ids that end an answer, ascending.
    pub eos: Vec<u32>,
}

/// GGUF keys of end tokens.
const END_KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Pieces that end an answer wherever they are control tokens: many files name one end token and use another (the
/// same reasoning and about the same list as llama.cpp's).
const END_PIECES: [&str; 18] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<|eot|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "[EOT]",
    "[EOS]",
    "<EOT>",
    "_<EOT>",
    "<eos>",
    "</s>",
];
/// `tokenizer.ggml.token_type` of tokens that are not text.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

impl Checkpoint {
    /// The model's own generation settings.
    ///
    /// # Errors
    /// If a side file is there and cannot be read.
    pub fn generation(&self) -> Result<GenerationConfig, ModelError> {
        let mut config = match self.format() {
            Format::Gguf => from_gguf(self.metadata())?,
            Format::Safetensors => self.generation_from_json()?,
        };
        config.eos.sort_unstable();
        config.eos.dedup();
        Ok(config)
    }

    fn generation_from_json(&self) -> Result<GenerationConfig, ModelError> {
        let json = self.side_json("generation_config.json")?.unwrap_or_else(|| Json::Object(serde_json::Map::new()));
        let path = self.side_path("generation_config.json");
        let own = Metadata::from_json(&path, json)?;
        let mut eos = ids(&own, "eos_token_id")?;
        eos.extend(ids(self.metadata(), "eos_token_id")?);
        if let Some(text) = self.metadata().read::<&Metadata>("text_config").ok().flatten() {
            eos.extend(ids(text, "eos_token_id")?);
        }
        eos.extend(self.side_json("tokenizer_config.json")?.as_ref().and_then(eos_of_tokenizer));
        Ok(GenerationConfig {
            temperature: number(&own, "temperature", NOT_NEGATIVE)?,
            top_k: own.read("top_k")?,
            top_p: number(&own, "top_p", SHARE)?,
            min_p: number(&own, "min_p", SHARE)?,
            repetition_penalty: number(&own, "repetition_penalty", POSITIVE)?,
            eos,
        })
    }
}

fn from_gguf(metadata: &Metadata) -> Result<GenerationConfig, ModelError> {
    let mut eos = Vec::new();
    for key in END_KEYS {
        eos.extend(metadata.read::<u32>(key)?);
    }
    eos.extend(end_pieces(metadata));
    Ok(GenerationConfig {
        temperature: number(metadata, "general.sampling.temp", NOT_NEGATIVE)?,
        top_k: metadata.read("general.sampling.top_k")?,
        top_p: number(metadata, "general.sampling.top_p", SHARE)?,
        min_p: number(metadata, "general.sampling.min_p", SHARE)?,
        repetition_penalty: number(metadata, "general.sampling.penalty_repeat", POSITIVE)?,
        eos,
    })
}

/// What a setting may be: a test, and words for it.
type Bounds = (fn(f32) -> bool, &'static str);

const NOT_NEGATIVE: Bounds = (|x| x >= 0.0 && x.is_finite(), "at least 0");
const SHARE: Bounds = (|x| (0.0..=1.0).contains(&x), "from 0 to 1");
const POSITIVE: Bounds = (|x| x > 0.0 && x.is_finite(), "more than 0");

/// A setting that is within its bounds: one that is not would make every answer nonsense.
fn number(metadata: &Metadata, key: &str, (fits, words): Bounds) -> Result<Option<f32>, ModelError> {
    let value = metadata.read::<f32>(key)?;
    match value {
        Some(x) if !fits(x) => Err(metadata.invalid(key, format!("is {x} and must be {words}; correct or remove it"))),
        value => Ok(value),
    }
}

/// The tokens that are [`END_PIECES`] and not text.
fn end_pieces(metadata: &Metadata) -> Vec<u32> {
    let list = |key| metadata.get(key).and_then(<&List>::from_value);
    let (Some(List::Bytes(pieces)), Some(List::Int(types))) =
        (list("tokenizer.ggml.tokens"), list("tokenizer.ggml.token_type"))
    else {
        return Vec::new();
    };
    let marks = |t: i64| matches!(t, CONTROL | USER_DEFINED);
    let ends = |piece: &[u8]| END_PIECES.iter().any(|end| end.as_bytes() == piece);
    let tokens = (0u32..).zip(pieces.iter()).zip(types);
    let mut found: Vec<_> =
        tokens.filter(|((_, piece), t)| marks(**t) && ends(piece)).map(|(token, _)| token).collect();
    // In gpt-oss's format <|end|> ends a message, of which one answer has several.
    if [&b"<|return|>"[..], b"<|call|>"].iter().all(|piece| found.iter().any(|(_, p)| p == piece)) {
        found.retain(|(_, piece)| *piece != b"<|end|>");
    }
    found.into_iter().map(|(id, _)| id).collect()
}

/// One id or a list of them.
fn ids(metadata: &Metadata, key: &str) -> Result<Vec<u32>, ModelError> {
    match metadata.get(key) {
        Some(crate::Value::List(_)) => metadata.require(key),
        _ => Ok(metadata.read::<u32>(key)?.into_iter().collect()),
    }
}

/// The id of tokenizer_config.json's `eos_token`, which names a piece of its `added_tokens_decoder`.
fn eos_of_tokenizer(config: &Json) -> Option<u32> {
    let eos = config.get("eos_token")?;
    let piece = eos.as_str().or_else(|| eos.get("content")?.as_str())?;
    let added = config.get("added_tokens_decoder")?.as_object()?;
    added.iter().find(|(_, token)| token.get("content").is_some_and(|c| c == piece))?.0.parse().ok()
}
