//! `POST /tokenize` and `POST /detokenize`.

use answer::{Kind, LoadedModel, Problem as Refused};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use text::EncodeOptions;

use crate::wire::fields::{self, Fields, token};
use crate::wire::{known, openai};
use crate::{App, Problem};

/// Tokens in a request at most.
const MAX_TOKENS: usize = 1 << 20;

/// A tokenized text.
#[derive(Debug, Serialize)]
struct Tokenized {
    count: usize,
    max_model_len: usize,
    /// Token ids, or objects of `id` and `piece` where pieces are asked for.
    tokens: Vec<Value>,
    /// As the vocabulary writes them, where they are asked for.
    token_strs: Option<Vec<String>>,
}

pub(super) fn tokenize(app: &App, body: &[u8]) -> Result<Response, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::TOKENIZE, &map)?;
    let model = app.model(fields.string("model")?)?;
    let ids = encoded(fields, &model)?;
    let tokenizer = &model.info.tokenizer;
    let pieces = fields.bool("with_pieces")?.unwrap_or(false);
    let strings = fields.bool("return_token_strs")?.unwrap_or(false);
    let name = |id: &u32| tokenizer.piece(*id).unwrap_or_default().to_owned();
    let token = |id: &u32| if pieces { json!({ "id": id, "piece": piece(&model, *id) }) } else { json!(id) };
    Ok(Json(Tokenized {
        count: ids.len(),
        max_model_len: model.context(),
        tokens: ids.iter().map(token).collect(),
        token_strs: strings.then(|| ids.iter().map(name).collect()),
    })
    .into_response())
}

pub(super) fn detokenize(app: &App, body: &[u8]) -> Result<Response, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::DETOKENIZE, &map)?;
    let model = app.model(fields.string("model")?)?;
    fields.required("tokens")?;
    let items = fields.list("tokens", MAX_TOKENS)?.map_or(&[][..], Vec::as_slice);
    let ids = items.iter().enumerate().map(|(i, item)| known(&model, &format!("tokens[{i}]"), item));
    let text = model.info.tokenizer.decode(&ids.collect::<Result<Vec<_>, _>>()?, true);
    Ok(Json(json!({ "prompt": text, "content": text })).into_response())
}

/// The tokens of a text by vLLM's name and its defaults, by llama.cpp's, or of a conversation.
fn encoded(fields: Fields<'_>, model: &LoadedModel) -> Result<Vec<u32>, Problem> {
    let parse_special = fields.bool("parse_special")?.unwrap_or(true);
    let add_special = fields.bool(fields.alias("add_special_tokens", "add_special"))?;
    let (text, add_special) = match (fields.string("prompt")?, fields.string("content")?) {
        (Some(text), None) => (text.to_owned(), add_special.unwrap_or(true)),
        (None, Some(text)) => (text.to_owned(), add_special.unwrap_or(false)),
        (None, None) if fields.get("messages").is_some() => {
            return Ok(model.chat_tokens(&openai::chat(fields)?)?);
        }
        (None, None) => {
            let message = "prompt is missing. Write it, or content, or messages.";
            return Err(Refused::of(Kind::Missing, "prompt", message).into());
        }
        (Some(_), Some(_)) => {
            let message = "prompt and content mean the same; write one of them.";
            return Err(Refused::of(Kind::InvalidValue, "content", message).into());
        }
    };
    Ok(model.text_tokens(&text, EncodeOptions { add_special, parse_special })?)
}

/// What a token adds to a text: a string, or bytes where they are no text by themselves. Control tokens have their name.
fn piece(model: &LoadedModel, id: u32) -> Value {
    let tokenizer = &model.info.tokenizer;
    match tokenizer.bytes(id) {
        [] => json!(tokenizer.piece(id).unwrap_or_default()),
        bytes => std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), |text| json!(text)),
    }
}

fn known(model: &LoadedModel, param: &str, item: &Value) -> Result<u32, Refused> {
    let id = token(param, item)?;
    let vocab = model.info.tokenizer.vocab();
    if (id as usize) < vocab {
        return Ok(id);
    }
    let message = format!("{param}: token {id} is not in the model's vocabulary (0 to {}).", vocab.saturating_sub(1));
    Err(Refused::of(Kind::InvalidValue, param, message))
}
