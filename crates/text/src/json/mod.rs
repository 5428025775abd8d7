//! Tokenizers from tokenizer.json, id for id what Hugging Face's own library gives.

mod config;
mod decoder;
mod field;
mod models;
mod steps;

use serde_json::Value;

pub(crate) use self::config::Config;
use self::decoder::Decoder;
pub(crate) use self::field::Fields;
pub(crate) use self::models::model_kind;
pub(crate) use self::steps::{normalizers, pretokenizers};
use crate::added::{AddedToken, AddedTokens, Order};
use crate::normalize::Normalizer;
use crate::pipeline::{Model, Pipeline};
use crate::pretokenize::Pretokenizer;
use crate::special::{ends, fill_in};
use crate::tokenizer::Parts;
use crate::vocab::{MOST_IDS, Pieces, Vocab};
use crate::{TokenKind, Tokenizer, TokenizerError};

/// Makes the tokenizer of a tokenizer.json and its tokenizer_config.json.
pub(crate) fn tokenizer(bytes: &[u8], config: Option<&Value>) -> Result<Tokenizer, TokenizerError> {
    let json: Value = serde_json::from_slice(bytes)
        .map_err(|e| TokenizerError::new("tokenizer.json", format!("is not JSON: {e}")))?;
    let root = Fields::root(&json)?;
    let config = Config::new(config)?;
    let (model, pieces) = models::model(&root.fields("model")?)?;
    let added = added_tokens(&root, &config, &pieces)?;
    check_ids(&pieces, &added)?;
    let normalizers = normalizers(&root.field("normalizer"))?;
    let mut pretokenizers = pretokenizers(&root.field("pre_tokenizer"))?;
    let byte_level = pretokenizers.pop_if(|step| matches!(step, Pretokenizer::ByteLevel)).is_some();
    if matches!(&model, Model::Bpe(bpe) if bpe.cuts_at_spaces()) && !byte_level {
        pretokenizers.extend(Pretokenizer::spaced(pieces.keys().map(|p| &**p)));
    }
    let decoder = Decoder::new(&root.field("decoder"))?;
    let adds_space = steps::adds_space(&normalizers, &pretokenizers) || decoder.spaces_words();
    let vocab = vocab(&decoder, &pieces, &added, &config)?;
    let ids = config.special(|piece| vocab.id(piece));
    let processor = steps::around(&root.field("post_processor"))?;
    let between = processor.between;
    let around = config.around((processor.before, processor.after), &ids);
    let eos = ids.get("eos").or_else(|| guess(&vocab, &["</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>"]));
    let bos = ids.get("bos").or(around.0.first().copied());
    let ends = ends(|piece| vocab.id(piece).filter(|id| vocab.kind(*id) == TokenKind::Control), &ids);
    let fill_in = fill_in(|piece| vocab.id(piece), &ids);
    let pipeline = pipeline(added, normalizers, pretokenizers, byte_level, model)?;
    Ok(Tokenizer::of(Parts { vocab, pipeline, around, between, adds_space, bos, eos, ends, fill_in }))
}

fn guess(vocab: &Vocab, pieces: &[&str]) -> Option<u32> {
    pieces.iter().find_map(|piece| vocab.id(piece))
}

/// An added token and whether it is looked for in the normalized text.
type Added = (AddedToken, bool);

/// The added tokens of tokenizer.json, and those that tokenizer_config.json has besides or otherwise.
fn added_tokens(root: &Fields, config: &Config, pieces: &Pieces) -> Result<Vec<Added>, TokenizerError> {
    let mut added: Vec<Added> = Vec::new();
    for token in root.field("added_tokens").items()? {
        let token = token.as_fields()?;
        let id = token.field("id").id()?;
        added.push(added_token(&token, id, pieces)?);
    }
    for (id, token) in &config.added {
        let (token, normalized) = added_token(token, *id, pieces)?;
        added.retain(|(t, _)| t.text != token.text);
        added.push((token, normalized));
    }
    added.retain(|(token, _)| !token.text.is_empty());
    Ok(added)
}

fn added_token(token: &Fields, id: u32, pieces: &Pieces) -> Result<Added, TokenizerError> {
    let text = token.field("content").text()?.to_owned();
    let flag = |name: &str, default| token.field(name).bool_or(default);
    let special = flag("special", false)?;
    let token = AddedToken {
        // A piece of the model keeps its id, whatever is said here.
        id: pieces.get(text.as_str()).copied().unwrap_or(id),
        special,
        lstrip: flag("lstrip", false)?,
        rstrip: flag("rstrip", false)?,
        single_word: flag("single_word", false)?,
        text,
    };
    Ok((token, flag("normalized", !special)?))
}

fn vocab(decoder: &Decoder, pieces: &Pieces, added: &[Added], config: &Config) -> Result<Vocab, TokenizerError> {
    let mut vocab = Vocab::default();
    for (piece, &id) in pieces {
        let kind = if config.unknown() == Some(piece) { TokenKind::Unknown } else { TokenKind::Normal };
        vocab.insert(id, piece, kind, decoder.bytes(piece));
    }
    for (token, _) in added {
        let kind = if token.special { TokenKind::Control } else { TokenKind::UserDefined };
        vocab.insert(token.id, &token.text, kind, token.text.clone().into());
    }
    if vocab.len() == 0 {
        return Err(TokenizerError::new("model.vocab", "is empty; this is no tokenizer"));
    }
    Ok(vocab)
}

fn pipeline(
    added: Vec<Added>,
    normalizers: Vec<Normalizer>,
    pretokenizers: Vec<Pretokenizer>,
    byte_level: bool,
    model: Model,
) -> Result<Pipeline, TokenizerError> {
    let search = |tokens| AddedTokens::new(tokens, Order::Leftmost).map_err(|e| TokenizerError::new("added_tokens", e));
    let (normalized, plain): (Vec<Added>, Vec<Added>) = added.into_iter().partition(|(_, normalized)| *normalized);
    let normalized: Vec<AddedToken> = (normalized.into_iter())
        .map(|(token, _)| {
            let text = normalizers.iter().fold(token.text.as_str().into(), |text, step| step.apply(text)).into_owned();
            AddedToken { text, ..token }
        })
        .collect();
    let normalized = if normalized.is_empty() { None } else { Some(search(normalized)?) };
    let added = search(plain.into_iter().map(|(token, _)| token).collect())?;
    Ok(Pipeline { added, normalizers, normalized, pretokenizers, byte_level, model })
}

/// Ids may leave holes, but not for a table that is mostly holes.
fn check_ids(pieces: &Pieces, added: &[Added]) -> Result<(), TokenizerError> {
    let most = 2 * (pieces.len() + added.len()) + 100_000;
    let ids = pieces.values().chain(added.iter().map(|(token, _)| &token.id));
    match ids.max() {
        Some(&id) if id as usize > most => {
            let count = pieces.len() + added.len();
            Err(TokenizerError::new("model.vocab", format!("id {id} is too far out for {count} tokens")))
        }
        _ => Ok(()),
    }
}

/// An id within reason.
pub(crate) fn check_id(id: u64, field: impl FnOnce() -> String) -> Result<u32, TokenizerError> {
    u32::try_from(id).ok().filter(|id| *id < MOST_IDS).ok_or_else(|| {
        TokenizerError::new(field(), format!("{id} is no token id (at most {MOST_IDS} tokens are supported)"))
    })
}
