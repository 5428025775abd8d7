//! The keys of a GGUF file that come from the files beside safetensors weights: tokenizer, end tokens, chat template.

use model::{Checkpoint, Export, Format, GgufValue, TokenizerFiles};
use text::{GgufVocab, TokenKind, Tokenizer, TokenizerError};

use crate::Error;

const FILE: &str = "tokenizer.json";

/// Sets the keys of the tokenizer and of the chat template. A GGUF input has them already.
pub(super) fn set(export: &mut Export, checkpoint: &Checkpoint) -> Result<(), Error> {
    if checkpoint.format() == Format::Gguf {
        return Ok(());
    }
    let path = checkpoint.path();
    let path = if path.is_dir() { path.join(FILE) } else { path.with_file_name(FILE) };
    let error = |source| Error::Tokenizer { path: path.clone(), source };
    let TokenizerFiles::Json { tokenizer, config } = checkpoint.tokenizer()? else {
        let problem = "is missing; put the model's own beside the weights".into();
        return Err(error(TokenizerError { field: FILE.into(), problem }));
    };
    let mut vocabulary = GgufVocab::from_json(&tokenizer, config.as_ref()).map_err(error)?;
    pad(&mut vocabulary, export.vocab().unwrap_or(0)).map_err(error)?;
    roles(&mut vocabulary, checkpoint)?;
    for (name, value) in keys(vocabulary) {
        export.set(&format!("tokenizer.{name}"), value);
    }
    if let Some(template) = checkpoint.chat_template()? {
        export.set("tokenizer.chat_template", GgufValue::Str(template));
    }
    Ok(())
}

/// Every row of the embedding has a token, and no token is without.
fn pad(vocabulary: &mut GgufVocab, rows: usize) -> Result<(), TokenizerError> {
    let tokens = vocabulary.tokens.len();
    if tokens > rows {
        let problem = format!(
            "has {tokens} tokens where the embedding has {rows} rows; take the tokenizer that belongs to the weights"
        );
        return Err(TokenizerError { field: FILE.into(), problem });
    }
    vocabulary.tokens.extend((tokens..rows).map(|id| format!("[PAD{id}]").into_bytes()));
    vocabulary.kinds.resize(rows, TokenKind::Unused);
    if !vocabulary.scores.is_empty() {
        vocabulary.scores.resize(rows, 0.0);
    }
    Ok(())
}

/// Begin and end tokens that only config.json or generation_config.json tell.
fn roles(vocabulary: &mut GgufVocab, checkpoint: &Checkpoint) -> Result<(), Error> {
    let tokens = vocabulary.tokens.len() as u32;
    let mut add = |role: &str, id: u32| {
        let known = vocabulary.special.iter().any(|(r, _)| r == role);
        if !known && id < tokens {
            vocabulary.special.push((role.into(), id));
        }
        !known
    };
    if let Some(bos) = checkpoint.metadata().read::<u32>("bos_token_id").ok().flatten() {
        add("bos", bos);
    }
    let ends = checkpoint.generation()?.eos;
    if let Some(&first) = ends.first() {
        add("eos", first);
    }
    // Further ends: GGUF has keys for the end of a turn and of a message, and readers know some by their names.
    let known = Tokenizer::from_gguf(vocabulary.clone()).map(|t| t.ends().to_vec()).unwrap_or_default();
    let others = ends.into_iter().filter(|id| *id < tokens && !known.contains(id));
    vocabulary.special.extend(["eot", "eom"].map(String::from).into_iter().zip(others));
    Ok(())
}

/// The keys after `tokenizer.`.
fn keys(vocabulary: GgufVocab) -> Vec<(String, GgufValue)> {
    let mut keys = vec![("ggml.model".to_owned(), GgufValue::Str(vocabulary.model))];
    let mut add = |name: &str, value| keys.push((format!("ggml.{name}"), value));
    add("pre", GgufValue::Str(vocabulary.pre.unwrap_or_else(|| "default".into())));
    add("tokens", GgufValue::Strs(vocabulary.tokens));
    if !vocabulary.scores.is_empty() {
        add("scores", GgufValue::F32s(vocabulary.scores));
    }
    add("token_type", GgufValue::I32s(vocabulary.kinds.into_iter().map(TokenKind::number).collect()));
    if !vocabulary.merges.is_empty() {
        add("merges", GgufValue::Strs(vocabulary.merges));
    }
    for (role, id) in vocabulary.special {
        add(&format!("{role}_token_id"), GgufValue::U32(id));
    }
    for (name, value) in vocabulary.flags {
        add(&name, GgufValue::Bool(value));
    }
    keys
}
