//! Vectors of texts: what the endpoints of every dialect share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use answer::{LoadedModel, Pooling, PromptText, normalized};
use axum::extract::Request;
use serde_json::Value;

use super::fields::Fields;
use super::{openai, with_model};
use crate::http::{Caller, body};
use crate::models::Lease;
use crate::{App, KeepAlive, Kind, Problem};

/// Texts in a request at most, as OpenAI has it.
const MAX_TEXTS: usize = 2048;

/// What a request asks for, and what the form of its answer needs.
pub(super) struct Wanted<F> {
    pub(super) model: Option<String>,
    /// The field that the texts come from.
    pub(super) param: &'static str,
    pub(super) texts: Vec<PromptText>,
    /// Tokens of a text at most, if fewer than the context has.
    pub(super) most: Option<usize>,
    /// Whether to cut what is longer; if `None`, as the model does.
    pub(super) cut: Option<bool>,
    pub(super) pooling: Option<Pooling>,
    /// The first numbers of each vector; all if `None`.
    pub(super) dimensions: Option<usize>,
    /// Give the vectors as the model has them, not with length 1.
    pub(super) raw: bool,
    /// How long the model stays in memory after it, if the request says so.
    pub(super) keep_alive: Option<KeepAlive>,
    pub(super) form: F,
}

impl<F> Wanted<F> {
    /// The texts of a field, embedded as the model does it by itself.
    pub(super) fn new(fields: Fields<'_>, param: &'static str, form: F) -> Result<Wanted<F>, answer::Problem> {
        Ok(Wanted {
            model: fields.string("model")?.map(str::to_owned),
            param,
            texts: openai::texts(param, fields.required(param)?, MAX_TEXTS)?,
            most: None,
            cut: None,
            pooling: pooling(fields)?,
            dimensions: fields.count("dimensions", 1)?,
            raw: false,
            keep_alive: None,
            form,
        })
    }
}

/// What came of a request.
pub(super) struct Vectors<F> {
    /// It stays as long as its vectors are on their way.
    pub(super) _model: Lease,
    /// What clients call the model.
    pub(super) name: String,
    pub(super) vectors: Vec<Vec<f32>>,
    /// Of all texts.
    pub(super) tokens: usize,
    /// The texts that were too long, and are cut.
    pub(super) cut: Vec<usize>,
    pub(super) took: Duration,
    pub(super) form: F,
}

/// Answers a request for vectors. Dropping the future gives them up.
pub(super) async fn vectors<F: Send + 'static>(
    app: Arc<App>,
    request: Request,
    parse: fn(&[u8]) -> Result<Wanted<F>, Problem>,
) -> Result<Vectors<F>, Problem> {
    app.check_open()?;
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let body = Arc::new(body::read(&head, body).await?);
    let fixed = app.models.read().rules.keep_alive_fixed || !Caller::of(&head.extensions).commands();
    let (model, name, wanted, texts) = with_model(app, move |app| {
        let wanted = parse(&body)?;
        let model = app.model(wanted.model.as_deref())?;
        model.check_plain()?;
        check_dimensions(&model, wanted.dimensions)?;
        let texts = model.embedding_tokens(wanted.param, &wanted.texts, (wanted.most, wanted.cut))?;
        Ok((model.clone(), app.public_name(wanted.model.as_deref(), &model), wanted, texts))
    })
    .await?;
    wanted.keep_alive.filter(|_| !fixed).into_iter().for_each(|keep_alive| model.keep(keep_alive));
    let tokens = texts.iter().map(|text| text.ids.len()).sum();
    let cut = texts.iter().enumerate().filter(|(_, text)| text.cut).map(|(i, _)| i).collect();
    super::tokens(&head).read(tokens);
    let asked = Arc::clone(model.model());
    // Making the embedder takes its memory: not on the threads that serve everyone.
    let asked = tokio::task::spawn_blocking(move || asked.embed(texts, wanted.pooling)).await;
    let vectors = asked.map_err(|_| Problem::new(Kind::Internal, "The embedder could not be started."))??.await?;
    let finished = |vector| if wanted.raw { vector } else { normalized(vector, wanted.dimensions) };
    let vectors = vectors.into_iter().map(finished).collect();
    Ok(Vectors { _model: model, name, vectors, tokens, cut, took: started.elapsed(), form: wanted.form })
}

fn check_dimensions(model: &LoadedModel, dimensions: Option<usize>) -> Result<(), answer::Problem> {
    match (dimensions, model.embedding_width()) {
        (Some(dimensions), Some(width)) if dimensions > width => {
            let message = format!("dimensions must be at most {width}, as many as the model's vectors have.");
            Err(answer::Problem::of(answer::Kind::InvalidValue, "dimensions", message))
        }
        _ => Ok(()),
    }
}

/// How rows are pooled, if not as the model's files say. Not in OpenAI's API.
fn pooling(fields: Fields<'_>) -> Result<Option<Pooling>, answer::Problem> {
    let Some(name) = fields.get("pooling") else { return Ok(None) };
    match name.as_str() {
        Some("mean") => Ok(Some(Pooling::Mean)),
        Some("cls") => Ok(Some(Pooling::First)),
        Some("last") => Ok(Some(Pooling::Last)),
        _ => {
            let is = if let Value::String(name) = name { format!("`{name}`") } else { name.to_string() };
            let message = format!("pooling must be mean, cls or last, but it is {is}.");
            Err(answer::Problem::of(answer::Kind::InvalidValue, "pooling", message))
        }
    }
}
