//! `POST /v1/rerank` and `POST /v1/score`: how well documents answer a query, in the shapes that vLLM, Jina and Cohere have.

use std::sync::Arc;

use answer::{Kind, Pair, Problem as Refused};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::http::body;
use crate::models::Lease;
use crate::wire::fields::{self, Fields, check_length, wrong_type};
use crate::wire::{known, now, openai, unique, with_model};
use crate::{App, Problem};

/// Documents in a request at most.
const MAX_DOCUMENTS: usize = 2048;

/// What is asked for.
struct Asks {
    model: Option<String>,
    /// Queries and documents, as many of the one as of the other.
    pairs: Vec<(String, String)>,
    instruction: Option<String>,
    /// How many are told; all if `None`.
    top: Option<usize>,
    with_documents: bool,
}

/// What came of it: a score for each pair.
struct Judged {
    _model: Lease,
    /// What clients call the model.
    name: String,
    asks: Asks,
    scores: Vec<f32>,
    tokens: usize,
    /// Pairs that were too long, and are cut.
    cut: Vec<usize>,
}

pub(super) async fn rerank(State(app): State<Arc<App>>, request: Request) -> Response {
    match judged(app, request, (&known::RERANK, documents)).await {
        Ok(judged) => Json(ranking(&judged)).into_response(),
        Err(problem) => openai::problem(&problem),
    }
}

pub(super) async fn score(State(app): State<Arc<App>>, request: Request) -> Response {
    match judged(app, request, (&known::SCORE, texts)).await {
        Ok(judged) => Json(scores(&judged)).into_response(),
        Err(problem) => openai::problem(&problem),
    }
}

async fn judged(
    app: Arc<App>,
    request: Request,
    (known, read): (&'static known::Request, fn(Fields<'_>) -> Result<Asks, Refused>),
) -> Result<Judged, Problem> {
    app.check_open()?;
    let (head, body) = request.into_parts();
    let body = Arc::new(body::read(&head, body).await?);
    let (model, name, asks, prompts) = with_model(app, move |app| {
        let map = fields::object(&body)?;
        let asks = read(Fields::of(known, &map)?)?;
        let model = app.model(asks.model.as_deref())?;
        model.check_plain()?;
        let instruction = asks.instruction.as_deref();
        let pairs: Vec<Pair> =
            asks.pairs.iter().map(|(query, document)| Pair { query, document, instruction }).collect();
        let prompts = model.pair_tokens(&pairs)?;
        let name = app.public_name(asks.model.as_deref(), &model);
        Ok((model, name, asks, prompts))
    })
    .await?;
    let tokens = prompts.texts.iter().map(|text| text.ids.len()).sum();
    let cut = prompts.cut().collect();
    crate::wire::tokens(&head).read(tokens);
    let asked = Arc::clone(model.model());
    // What judges takes its memory at the first request: not on the threads that serve everyone.
    let begun = tokio::task::spawn_blocking(move || asked.judge(prompts)).await;
    let failed = |_| Problem::new(crate::Kind::Internal, "Judging could not be started.");
    let scores = begun.map_err(failed)??.await?;
    Ok(Judged { _model: model, name, asks, scores, tokens, cut })
}

/// A query and documents.
fn documents(fields: Fields<'_>) -> Result<Asks, Refused> {
    fields.required("query")?;
    let query = fields.string("query")?.unwrap_or_default().to_owned();
    fields.required("documents")?;
    let documents = fields.list("documents", MAX_DOCUMENTS)?.map_or(&[][..], Vec::as_slice);
    let document = |(i, item): (usize, &Value)| match item {
        Value::String(text) => Ok((query.clone(), text.clone())),
        Value::Object(fields) if fields.get("text").is_some_and(Value::is_string) => {
            Ok((query.clone(), fields["text"].as_str().unwrap_or_default().to_owned()))
        }
        other => Err(wrong_type(&format!("documents[{i}]"), "a string or an object with a text", other)),
    };
    Ok(Asks {
        model: fields.string("model")?.map(str::to_owned),
        pairs: some("documents", documents.iter().enumerate().map(document).collect::<Result<_, _>>()?)?,
        instruction: fields.string("instruction")?.map(str::to_owned),
        // 0 is vLLM's word for all.
        top: fields.count("top_n", 0)?.filter(|top| *top > 0),
        with_documents: fields.bool("return_documents")?.unwrap_or(true),
    })
}

/// One text or several, each against one or the one at its place.
fn texts(fields: Fields<'_>) -> Result<Asks, Refused> {
    let [first, second] =
        [("text_1", "queries"), ("text_2", "documents")].map(|(name, other)| fields.alias(name, other));
    fields.required(first)?;
    fields.required(second)?;
    let (mut queries, documents) = (fields.strings(first, MAX_DOCUMENTS)?, fields.strings(second, MAX_DOCUMENTS)?);
    if queries.len() == 1 {
        queries = vec![queries[0].clone(); documents.len()];
    }
    if queries.len() != documents.len() {
        let message = format!(
            "{first} must be one text or as many as {second}, but there are {} and {}.",
            queries.len(),
            documents.len()
        );
        return Err(Refused::of(Kind::InvalidValue, first, message));
    }
    Ok(Asks {
        model: fields.string("model")?.map(str::to_owned),
        pairs: some(second, queries.into_iter().zip(documents).collect())?,
        instruction: fields.string("instruction")?.map(str::to_owned),
        top: None,
        with_documents: false,
    })
}

fn some(param: &str, pairs: Vec<(String, String)>) -> Result<Vec<(String, String)>, Refused> {
    check_length(param, pairs.len(), MAX_DOCUMENTS)?;
    let empty = || Refused::of(Kind::InvalidValue, param, format!("{param} is empty. Write at least one text."));
    if pairs.is_empty() { Err(empty()) } else { Ok(pairs) }
}

/// The best first; equal ones in the order in which they came.
fn ranking(judged: &Judged) -> Value {
    let Judged { name, asks, scores, tokens, .. } = judged;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(asks.top.unwrap_or(usize::MAX));
    let result = |index: usize| {
        let mut result = json!({ "index": index, "relevance_score": scores[index] });
        if asks.with_documents {
            result["document"] = json!({ "text": asks.pairs[index].1 });
        }
        result
    };
    let results: Vec<Value> = order.into_iter().map(result).collect();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    told(json!({ "id": unique("rerank-"), "model": name, "usage": usage, "results": results }), judged)
}

/// An answer that says which pairs are cut, if any are.
fn told(mut answer: Value, judged: &Judged) -> Value {
    if !judged.cut.is_empty() {
        answer["truncated"] = json!(judged.cut);
    }
    answer
}

fn scores(judged: &Judged) -> Value {
    let Judged { name, scores, tokens, .. } = judged;
    let one = |(index, score): (usize, &f32)| json!({ "index": index, "object": "score", "score": score });
    let data: Vec<Value> = scores.iter().enumerate().map(one).collect();
    let usage = json!({ "prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens });
    let scores = json!({
        "id": unique("score-"), "object": "list", "created": now(), "model": name, "data": data,
        "usage": usage,
    });
    told(scores, judged)
}
