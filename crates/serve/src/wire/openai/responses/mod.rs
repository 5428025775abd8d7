//! `/v1/responses`: OpenAI's newer API. An answer is a list of items; it is kept, so that the next request can go on from it.

mod count;
mod events;
mod items;
mod listed;
mod log;
mod owned;
mod request;
mod store;
mod stored;

use std::sync::Arc;

use answer::{Answer, Event, Generation, LoadedModel, Reason, Tally};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use self::events::Say;
use self::items::Items;
use self::log::Log;
use self::owned::Owned;
use self::store::Entry;
pub(crate) use self::store::Store;
use super::error;
use crate::http::{Caller, Settings};
use crate::models::Lease;
use crate::wire::{Call, Dialect, Frame, begin, finish, now, receive, tokens, unique};
use crate::{App, Problem};

/// The routes of this part of the dialect.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/responses", post(create))
        .route("/v1/responses/input_tokens", post(count::input_tokens))
        .route("/v1/responses/{id}", get(stored::one).delete(stored::delete))
        .route("/v1/responses/{id}/cancel", post(stored::cancel))
        .route("/v1/responses/{id}/input_items", get(stored::input_items))
}

/// The form of a response.
pub(crate) struct Responses {
    id: String,
    /// What stands in every state of it: what was asked for.
    asked: Map<String, Value>,
    /// The conversation, without instructions.
    messages: Vec<Value>,
    /// The items of the request.
    input: Vec<Value>,
    background: bool,
    /// Where it is kept, if it is.
    store: Option<Owned>,
    /// Where its events are kept, if it is made in the background and told as a stream.
    log: Option<Arc<Log>>,
    items: Items,
    reason: Option<Reason>,
    reasoning_tokens: usize,
    say: Say,
}

impl Dialect for Responses {
    fn parse(body: &[u8]) -> Result<Call<Responses>, Problem> {
        request::read(body, &Owned::default())
    }

    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn answered_by(&mut self, name: &str, model: &LoadedModel, _: usize) {
        let sampling = model.info.sampling.params(None);
        let defaults = [("model", json!(name)), ("temperature", json!(sampling.temperature))];
        for (name, value) in defaults.into_iter().chain([("top_p", json!(sampling.top_p))]) {
            let known = self.asked.get(name).is_some_and(|known| !known.is_null());
            if !known || name == "model" {
                self.asked.insert(name.to_owned(), value);
            }
        }
    }

    fn whole(mut self, answers: Vec<Answer>, tally: &Tally) -> Response {
        Json(self.complete(answers, tally)).into_response()
    }

    fn begin(&mut self, _: &Tally) -> Vec<Frame> {
        let response = self.state("in_progress");
        self.say.event("response.created", json!({ "response": response }));
        self.say.event("response.in_progress", json!({ "response": response }));
        self.say.take()
    }

    fn event(&mut self, event: Event, _: &Tally) -> Vec<Frame> {
        self.add(event);
        self.say.take()
    }

    fn end(&mut self, tally: &Tally) -> Vec<Frame> {
        let response = self.ended(tally);
        let kind = if self.is_complete() { "response.completed" } else { "response.incomplete" };
        self.say.event(kind, json!({ "response": response }));
        self.say.take()
    }

    fn failure(&mut self, problem: &Problem) -> Vec<Frame> {
        let response = self.failed(problem);
        self.say.event("response.failed", json!({ "response": response }));
        self.say.take()
    }

    fn problem(problem: &Problem) -> Response {
        error::problem(problem)
    }
}

impl Responses {
    /// What the events of whole answers make of it; there is one answer.
    fn complete(&mut self, answers: Vec<Answer>, tally: &Tally) -> Value {
        for answer in answers {
            items::events(answer).into_iter().for_each(|event| self.add(event));
        }
        self.ended(tally)
    }

    fn add(&mut self, event: Event) {
        if let Event::Finished { reason, usage, .. } = &event {
            (self.reason, self.reasoning_tokens) = (Some(*reason), usage.reasoning);
        }
        self.items.add(event, &mut self.say);
    }

    fn is_complete(&self) -> bool {
        self.reason != Some(Reason::Length)
    }

    /// It as it is now.
    fn state(&self, status: &str) -> Value {
        let mut response = self.asked.clone();
        let own = json!({
            "id": self.id, "object": "response", "status": status, "error": null, "incomplete_details": null,
            "output": self.items.all(),
        });
        if let Value::Object(own) = own {
            response.extend(own);
        }
        Value::Object(response)
    }

    /// It when it has ended well; it is kept.
    fn ended(&mut self, tally: &Tally) -> Value {
        self.items.end(self.is_complete(), &mut self.say);
        let mut response = self.state(if self.is_complete() { "completed" } else { "incomplete" });
        if !self.is_complete() {
            response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
        }
        let (input, output) = (tally.prompt(), tally.generated());
        response["completed_at"] = json!(now());
        response["usage"] = json!({
            "input_tokens": input, "input_tokens_details": { "cached_tokens": tally.cached(), "cache_write_tokens": 0 },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": self.reasoning_tokens },
            "total_tokens": input + output,
        });
        self.messages.extend(self.items.message());
        self.keep(&response, None);
        response
    }

    /// It when it has failed; it is kept.
    fn failed(&mut self, problem: &Problem) -> Value {
        let mut response = self.state("failed");
        response["error"] = json!({ "code": "server_error", "message": problem.message });
        self.keep(&response, None);
        response
    }

    fn keep(&self, response: &Value, running: Option<CancellationToken>) {
        if let Some(store) = &self.store {
            let (response, messages, input) = (response.clone(), self.messages.clone(), self.input.clone());
            store.put(&self.id, Entry { response, messages, input, running, log: self.log.clone() });
        }
    }
}

/// `POST /v1/responses`.
async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    match try_create(app, request).await {
        Ok(response) => response,
        Err(problem) => error::problem(&problem),
    }
}

async fn try_create(app: Arc<App>, request: Request) -> Result<Response, Problem> {
    let (head, body) = receive(&app, request).await?;
    let caller = Caller::of(&head.extensions);
    let kept = Owned::of(&app, &caller);
    let read = move |_: &App, body: &[u8]| request::read(body, &kept);
    let begun = begin::<Responses>(Arc::clone(&app), body, &head, read).await?;
    let (Some(generation), responses, _) = begun else { return finish(begun, &head).await };
    if !responses.background {
        return finish((Some(generation), responses, begun.2), &head).await;
    }
    tokens(&head).set(generation.0.tally());
    let stop = CancellationToken::new();
    let response = responses.state("queued");
    responses.keep(&response, Some(stop.clone()));
    let log = responses.log.clone();
    let pings = Settings::of(&head.extensions).ping_interval;
    let work = async move {
        work(responses, generation, stop).await;
        // Until now it was one of its caller's requests.
        drop(caller);
    };
    tokio::spawn(app.open.track_future(work));
    Ok(log.map_or_else(|| Json(response).into_response(), |log| log.follow(0, pings)))
}

/// Answers in the background, until it is told to stop: then what is kept says so already.
async fn work(mut responses: Responses, (mut generation, lease): (Generation, Lease), stop: CancellationToken) {
    responses.keep(&responses.state("in_progress"), Some(stop.clone()));
    if let Some(log) = responses.log.clone() {
        let _ends = log.until_dropped();
        return tokio::select! {
            () = tell(responses, generation, &log) => {}
            () = stop.cancelled() => {}
        };
    }
    let answers = tokio::select! {
        answers = generation.whole() => answers,
        () = stop.cancelled() => return,
    };
    match answers {
        Ok(answers) => _ = responses.complete(answers, generation.tally()),
        Err(problem) => _ = responses.failed(&problem.into()),
    }
    drop(lease);
}

/// Writes down what a stream says.
async fn tell(mut responses: Responses, mut generation: Generation, log: &Log) {
    log.add(responses.begin(generation.tally()));
    loop {
        let (frames, more) = match generation.next_event().await {
            Some(Ok(event)) => (responses.event(event, generation.tally()), true),
            Some(Err(problem)) => (responses.failure(&problem.into()), false),
            None => (responses.end(generation.tally()), false),
        };
        log.add(frames);
        if !more {
            return;
        }
    }
}

/// A new response's name.
fn new_id() -> String {
    unique("resp_")
}
