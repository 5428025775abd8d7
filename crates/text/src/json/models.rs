//! `model` of a tokenizer.json.

use serde_json::Value;

use super::check_id;
use super::field::{Field, Fields};
use crate::TokenizerError;
use crate::bpe::{Bpe, Merges, Unknown, Whole};
use crate::pipeline::Model;
use crate::trie::Trie;
use crate::unigram::Unigram;
use crate::vocab::{Pieces, byte_ids};
use crate::wordpiece::WordPiece;

/// What an unknown character costs more than the rarest piece.
const UNKNOWN_PENALTY: f64 = 10.0;

/// Which model it is. Old files do not say it: their fields do.
pub(crate) fn model_kind<'a>(fields: &Fields<'a>) -> &'a str {
    fields.kind().unwrap_or_else(|| match fields.field("vocab").value {
        Value::Array(_) => "Unigram",
        _ if fields.has("merges") => "BPE",
        _ if fields.has("max_input_chars_per_word") => "WordPiece",
        _ => "WordLevel",
    })
}

/// The model and its pieces.
pub(super) fn model(fields: &Fields) -> Result<(Model, Pieces), TokenizerError> {
    match model_kind(fields) {
        "BPE" => bpe(fields),
        "WordPiece" => wordpiece(fields),
        "WordLevel" => {
            let pieces = pieces(&fields.field("vocab"))?;
            let unknown = fields.field("unk_token").text_if_any()?.and_then(|u| pieces.get(u).copied());
            Ok((Model::WordLevel(pieces.clone(), unknown), pieces))
        }
        "Unigram" => unigram(fields),
        other => Err(fields
            .field("type")
            .error(format!("{other:?} is not supported (BPE, WordPiece, WordLevel and Unigram are)"))),
    }
}

fn pieces(vocab: &Field) -> Result<Pieces, TokenizerError> {
    vocab.as_fields()?.iter().map(|(piece, id)| Ok((piece.into(), id.id()?))).collect()
}

fn bpe(fields: &Fields) -> Result<(Model, Pieces), TokenizerError> {
    let pieces = pieces(&fields.field("vocab"))?;
    let prefix = fields.field("continuing_subword_prefix").text_if_any()?.unwrap_or_default().to_owned();
    let suffix = fields.field("end_of_word_suffix").text_if_any()?.unwrap_or_default().to_owned();
    let unknown_field = fields.field("unk_token");
    let unknown = match unknown_field.text_if_any()? {
        None => Unknown::Skip,
        Some(piece) => match pieces.get(piece) {
            Some(&id) => Unknown::Token { id, fuse: fields.field("fuse_unk").bool_or(false)? },
            None => Unknown::Skip,
        },
    };
    let bytes = fields.field("byte_fallback").bool_or(false)?.then(|| byte_ids(|p| pieces.get(p).copied()));
    let whole = if fields.field("ignore_merges").bool_or(false)? { Whole::Always } else { Whole::Never };
    let merges = merges(&fields.field("merges"), &pieces, &prefix)?;
    let tokens = pieces.values().max().map_or(0, |id| id + 1);
    let model =
        Bpe { pieces: pieces.clone(), merges, tokens, spelled: Vec::new(), bytes, unknown, whole, prefix, suffix };
    Ok((Model::Bpe(model), pieces))
}

/// Pairs of ids with rank and result; of the same pair the last counts.
fn merges(field: &Field, pieces: &Pieces, prefix: &str) -> Result<Merges, TokenizerError> {
    if field.value.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(Merges::default());
    }
    let mut merges = Merges::default();
    let mut rank = 0;
    for merge in field.items()? {
        let ids = |(left, right): (&str, &str)| {
            let merged = format!("{left}{}", right.strip_prefix(prefix).unwrap_or(right));
            Some(((*pieces.get(left)?, *pieces.get(right)?), *pieces.get(merged.as_str())?))
        };
        let found = match merge.value {
            Value::String(line) if line.starts_with("#version") => continue,
            // Pieces may have spaces in them: the space between is one that leaves two pieces that can merge.
            Value::String(line) => line.match_indices(' ').find_map(|(at, _)| ids((&line[..at], &line[at + 1..]))),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => ids((left, right)),
                _ => None,
            },
            _ => None,
        };
        let lacking = || merge.error(format!("{} is not two pieces of the vocabulary that make a third", merge.value));
        let (pair, merged) = found.ok_or_else(lacking)?;
        merges.insert(pair, (rank, merged));
        rank += 1;
    }
    Ok(merges)
}

fn wordpiece(fields: &Fields) -> Result<(Model, Pieces), TokenizerError> {
    let pieces = pieces(&fields.field("vocab"))?;
    let unknown = fields.field("unk_token").text_if_any()?.unwrap_or("[UNK]");
    let model = WordPiece {
        longest: pieces.keys().map(|p| p.len()).max().unwrap_or(0),
        first: "",
        prefix: fields.field("continuing_subword_prefix").text_if_any()?.unwrap_or("##").to_owned(),
        most_chars: fields.field("max_input_chars_per_word").count_or(100)?,
        unknown: pieces.get(unknown).copied(),
        pieces: pieces.clone(),
    };
    Ok((Model::WordPiece(model), pieces))
}

fn unigram(fields: &Fields) -> Result<(Model, Pieces), TokenizerError> {
    let mut pieces = Pieces::default();
    let mut trie = Trie::default();
    let mut scores = Vec::new();
    for (id, entry) in fields.field("vocab").items()?.into_iter().enumerate() {
        let Some([Value::String(piece), score]) = entry.value.as_array().map(Vec::as_slice) else {
            return Err(entry.error("is not a piece and its score"));
        };
        let id = check_id(id as u64, || entry.path.clone())?;
        scores.push(score.as_f64().ok_or_else(|| entry.error("its score is not a number"))?);
        trie.insert(piece.as_bytes(), id);
        pieces.insert(piece.as_str().into(), id);
    }
    let unknown = fields.field("unk_id");
    let unknown = if unknown.is_null() { None } else { Some(unknown.id()?) };
    if unknown.is_some_and(|id| id as usize >= scores.len()) {
        return Err(fields.field("unk_id").error("is past the end of the vocabulary"));
    }
    let bytes = fields.field("byte_fallback").bool_or(false)?.then(|| byte_ids(|p| pieces.get(p).copied()));
    let unknown_score = scores.iter().copied().fold(f64::INFINITY, f64::min) - UNKNOWN_PENALTY;
    Ok((Model::Unigram(Unigram { trie, scores, unknown, unknown_score, bytes }), pieces))
}
