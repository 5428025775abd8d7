//! `POST /v1/embeddings`.

use std::sync::Arc;

use answer::{Kind, Problem};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use super::error;
use crate::App;
use crate::wire::fields::{self, Fields};
use crate::wire::known;
use crate::wire::vectors::{Vectors, Wanted, vectors};

/// How the numbers of a vector are written.
#[derive(Clone, Copy)]
enum Encoding {
    /// An array of numbers.
    Float,
    /// The bytes of F32 numbers, little endian, in base64.
    Base64,
}

#[derive(Debug, Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
    /// Which texts were too long, and are cut.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    truncated: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Numbers {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

pub(super) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Response {
    match vectors(app, request, parse).await {
        Ok(vectors) => answer(vectors),
        Err(problem) => error::problem(&problem),
    }
}

fn parse(body: &[u8]) -> Result<Wanted<Encoding>, crate::Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::EMBEDDINGS, &map)?;
    let mut wanted = Wanted::new(fields, "input", encoding(fields)?)?;
    // vLLM's name: cut a text to so many tokens; -1 to the context.
    if let Some(most) = fields.integer("truncate_prompt_tokens", -1..)? {
        wanted.cut = Some(true);
        wanted.most = usize::try_from(most).ok();
        if most == 0 {
            let message = "truncate_prompt_tokens must be at least 1, or -1 for the context, but it is 0.";
            return Err(Problem::of(Kind::InvalidValue, "truncate_prompt_tokens", message).into());
        }
    }
    Ok(wanted)
}

fn encoding(fields: Fields<'_>) -> Result<Encoding, Problem> {
    match fields.string("encoding_format")?.unwrap_or("float") {
        "float" => Ok(Encoding::Float),
        "base64" => Ok(Encoding::Base64),
        other => {
            let message = format!("encoding_format must be float or base64, but it is `{other}`.");
            Err(Problem::of(Kind::InvalidValue, "encoding_format", message))
        }
    }
}

fn answer(answer: Vectors<Encoding>) -> Response {
    let Vectors { name, vectors, tokens, cut: truncated, form, .. } = answer;
    let numbers = |vector: Vec<f32>| match form {
        Encoding::Float => Numbers::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
            Numbers::Base64(BASE64_STANDARD.encode(bytes))
        }
    };
    let data = vectors.into_iter().enumerate();
    let data = data.map(|(index, v)| Embedding { object: "embedding", index, embedding: numbers(v) }).collect();
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    Json(Embeddings { object: "list", data, model: &name, usage, truncated }).into_response()
}
