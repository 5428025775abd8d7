//! What clients speak: a folder for each dialect. What all share is here: from a request's bytes to its answer's.

mod admin;
mod anthropic;
mod endpoint;
mod feedback;
mod fields;
mod headers;
mod inference;
pub mod known;
mod logprobs;
mod ollama;
mod openai;
pub(crate) mod query;
mod routed;
mod sampling;
mod stream;
mod vectors;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use answer::{Answer, Ask, Event, Generation, LoadedModel, Tally};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use self::headers::Urgency;
use crate::faults::Subject;
use crate::http::body::{self, Whole};
use crate::http::{Caller, Settings, log};
use crate::models::Lease;
use crate::routes::{Answered, Asker};
use crate::{App, KeepAlive, Kind, Problem};

use self::stream::Framing;

pub(crate) use admin::lasting_faults;
pub use endpoint::{Endpoint, parse_request_body};
#[cfg(feature = "batches")]
pub(crate) use openai::{Batches, work_on_batches};
pub(crate) use openai::{Store, code};
pub(crate) use routed::Way;

/// The routes of every dialect.
pub(crate) fn routes() -> Router<Arc<App>> {
    openai::routes()
        .merge(anthropic::routes())
        .merge(ollama::routes())
        .merge(inference::routes())
        .merge(admin::routes())
        .merge(feedback::routes())
}

/// In whose words a problem with a path is told: the dialect's to whose part of the paths it belongs.
enum Words {
    OpenAi,
    Anthropic,
    Ollama,
}

impl Words {
    fn of(path: &str) -> Words {
        match path {
            _ if path.starts_with("/v1/messages") => Words::Anthropic,
            _ if path.starts_with("/api/") => Words::Ollama,
            _ => Words::OpenAi,
        }
    }
}

/// The answer to a problem with a path.
pub(crate) fn problem(path: &str, problem: &Problem) -> Response {
    match Words::of(path) {
        Words::Anthropic => anthropic::problem(problem),
        Words::Ollama => ollama::problem(problem),
        Words::OpenAi => openai::problem(problem),
    }
}

/// The shape of that answer, in the notation of `openapi`. Models are told of in two dialects at the same paths.
pub(crate) fn problem_shape(path: &str) -> &'static str {
    match Words::of(path) {
        Words::Anthropic => "AnthropicError",
        Words::Ollama => "OllamaError",
        Words::OpenAi if path.starts_with("/v1/models") => "Error | AnthropicError",
        Words::OpenAi => "Error",
    }
}

/// How an endpoint of an API speaks. A value of it is what matters of one request to the form of its answer.
pub(crate) trait Dialect: Sized + Send + Unpin + 'static {
    /// How the messages of a stream are written.
    const FRAMING: Framing = Framing::Events { ping: None };

    /// Reads a request's body.
    ///
    /// # Errors
    /// If the body is not what the API says, or asks for what this server does not do.
    fn parse(body: &[u8]) -> Result<Call<Self>, Problem>;

    /// Hears who answers, and by which name clients know that, before anything of the answer is written.
    fn answered_by(&mut self, name: &str, model: &LoadedModel, choices: usize);

    /// The name that the answer has in its body, if it has one.
    fn id(&self) -> Option<&str> {
        None
    }

    /// The whole answer, one of `answers` for each choice; none where nothing was asked.
    fn whole(self, answers: Vec<Answer>, tally: &Tally) -> Response;

    /// What a stream says before anything happens.
    fn begin(&mut self, _: &Tally) -> Vec<Frame> {
        Vec::new()
    }

    /// What a stream says of an event.
    fn event(&mut self, event: Event, tally: &Tally) -> Vec<Frame>;

    /// What a stream says at its end.
    fn end(&mut self, tally: &Tally) -> Vec<Frame>;

    /// What a stream says if the answer fails.
    fn failure(&mut self, problem: &Problem) -> Vec<Frame>;

    /// The answer to a request that is not answered.
    fn problem(problem: &Problem) -> Response;
}

/// A request, understood.
pub(crate) struct Call<D> {
    /// The model's name; `None` for the first one.
    model: Option<String>,
    /// `None` if it only wants the model to be there.
    ask: Option<Ask>,
    /// How long the model stays in memory after it, if the request says so.
    keep_alive: Option<KeepAlive>,
    /// Whether the answer comes event by event.
    stream: bool,
    dialect: D,
}

/// A request, understood: what else matters of it, the model's name, what is asked, and the key of its stream.
pub(crate) struct Wanted<T> {
    pub(crate) rest: T,
    pub(crate) model: Option<String>,
    pub(crate) ask: Option<Ask>,
    pub(crate) key: Option<String>,
    /// Whether it wants the model gone, and is not for a model that is not there.
    pub(crate) unload: bool,
    /// What faults see of it, while there are any.
    pub(crate) subject: Option<Subject>,
}

/// A message of a stream.
#[derive(Clone)]
pub(crate) struct Frame {
    /// What sort of event it is, where the dialect says so.
    name: Option<&'static str>,
    data: String,
}

impl Frame {
    /// A message without a name.
    fn data(data: impl Into<String>) -> Frame {
        Frame { name: None, data: data.into() }
    }

    /// A value as JSON. Nothing that is sent can fail to be written.
    fn json(value: &impl serde::Serialize) -> Frame {
        Frame::data(serde_json::to_string(value).unwrap_or_default())
    }

    /// A value as JSON, with the name of the event.
    fn named(name: &'static str, value: &impl serde::Serialize) -> Frame {
        Frame { name: Some(name), ..Frame::json(value) }
    }
}

/// Answers a request. Dropping the future, or the body that it gives, drops the generation: that is cancellation.
async fn answer<D: Dialect>(State(app): State<Arc<App>>, request: Request) -> Response {
    match try_answer::<D>(app, request).await {
        Ok(response) => response,
        Err(problem) => D::problem(&problem),
    }
}

async fn try_answer<D: Dialect>(app: Arc<App>, request: Request) -> Result<Response, Problem> {
    let (head, body) = receive(&app, request).await?;
    let begun = begin::<D>(app, body, &head, |_, body| D::parse(body)).await?;
    finish(begun, &head).await
}

/// The head and the body of a request, if there is room for it.
async fn receive(app: &App, request: Request) -> Result<(Parts, Whole), Problem> {
    app.check_open()?;
    let (head, body) = request.into_parts();
    let body = body::read(&head, body).await?;
    // Before anything is parsed: a server that is full has no time for it.
    app.check_room()?;
    Ok((head, body))
}

/// The answer to what has begun: whole, or as a stream.
async fn finish<D: Dialect>((generation, dialect, stream): Begun<D>, head: &Parts) -> Result<Response, Problem> {
    let Some((mut generation, lease)) = generation else {
        return Ok(dialect.whole(Vec::new(), &Tally::default()));
    };
    tokens(head).set(generation.tally());
    if stream {
        let pings = Settings::of(&head.extensions).ping_interval;
        return Ok(stream::stream(dialect, (generation, lease), pings));
    }
    let answers = generation.whole().await?;
    drop(lease);
    Ok(dialect.whole(answers, generation.tally()))
}

/// Where what a request takes is counted.
fn tokens(head: &Parts) -> log::Tokens {
    head.extensions.get().cloned().unwrap_or_default()
}

type Begun<D> = (Option<(Generation, Lease)>, D, bool);

/// What has begun: the generation, if anything is generated, the form of its answer, and whether that is a stream.
async fn begin<D: Dialect>(
    app: Arc<App>,
    body: Whole,
    head: &Parts,
    parse: impl FnOnce(&App, &[u8]) -> Result<Call<D>, Problem> + Send + 'static,
) -> Result<Begun<D>, Problem> {
    let urgency = Urgency::of(&head.headers)?;
    let (caller, subject) = (Caller::of(&head.extensions), Subject::of(&head.extensions));
    let key = headers::stream_key(&head.headers)?;
    let fixed = app.models.read().rules.keep_alive_fixed || !caller.commands();
    let mut asker = Asker { bytes: body.len(), ..Asker::of(head) };
    let (kept, key_name, request) = (Arc::clone(&app), asker.key.clone(), asker.id.clone());
    let begun = routed::begin(app, move |app| {
        let Call { model, mut ask, keep_alive, stream, dialect } = parse(app, &body)?;
        let subject = subject.zip(ask.as_ref()).map(|(subject, ask)| subject.asking(ask));
        if let Some(ask) = &mut ask {
            asker.user = ask.service.tenant.clone().unwrap_or_default();
            urgency.apply(ask);
            caller.apply(ask);
        }
        let unload = ask.is_none() && keep_alive == Some(KeepAlive::seconds(0.0)) && caller.commands();
        let key = key.filter(|_| stream);
        Ok((Wanted { rest: (dialect, stream, keep_alive), model, ask, key, unload, subject }, asker))
    });
    let routed::Begun { rest: (mut dialect, stream, keep_alive), lease, generation, way, answered } = begun.await?;
    if let Some(lease) = &lease {
        let name = way.as_ref().map_or_else(|| lease.name(), |way| way.route.as_str().into());
        dialect.answered_by(&name, lease, generation.as_ref().map_or(0, Generation::choices));
        keep_alive.filter(|_| !fixed).into_iter().for_each(|keep_alive| lease.keep(keep_alive));
        let names = dialect.id().into_iter().chain([request.as_str()]);
        kept.remember(names, Answered { model: lease.info.name.clone(), key: key_name, ..answered });
    }
    way.into_iter().for_each(|way| tokens(head).went(way));
    Ok((generation.zip(lease), dialect, stream))
}

/// Answers a request for which nothing is generated.
async fn reply(
    app: Arc<App>,
    request: Request,
    work: impl Fn(&App, &[u8]) -> Result<Response, Problem> + Clone + Send + 'static,
) -> Result<Response, Problem> {
    app.check_open()?;
    let (parts, body) = request.into_parts();
    let body = Arc::new(body::read(&parts, body).await?);
    with_model(app, move |app| work(app, &body)).await
}

/// Begins what a request wants, on a thread that may block. A model that it lacks is loaded first, within the request's time.
pub(crate) async fn begun<R: Send + 'static, T: Send + 'static>(
    app: &Arc<App>,
    parse: impl FnOnce(&App) -> Result<Wanted<R>, Problem> + Send + 'static,
    attempt: fn(&App, &Wanted<R>) -> Result<T, Problem>,
) -> Result<(Wanted<R>, T), Problem> {
    let attempted = move |app: &App, wanted| match attempt(app, &wanted) {
        Ok(done) => Ok((wanted, Ok(done))),
        Err(Problem { absent: Some(name), .. }) => Ok((wanted, Err(name))),
        Err(problem) => Err(problem),
    };
    let (mut wanted, mut done) = blocking(Arc::clone(app), move |app| attempted(app, parse(app)?)).await?;
    loop {
        let name = match done {
            Ok(done) => return Ok((wanted, done)),
            Err(name) => name,
        };
        let lease = wanted.bring(app, &name).await?;
        let again = move |app: &App| {
            let attempted = attempted(app, wanted);
            drop(lease);
            attempted
        };
        (wanted, done) = blocking(Arc::clone(app), again).await?;
    }
}

impl<T> Wanted<T> {
    /// Waits for the model as long as the request may take, which is left less time then.
    async fn bring(&mut self, app: &Arc<App>, name: &str) -> Result<Lease, Problem> {
        let limit = self.ask.as_mut().and_then(|ask| ask.service.time_limit.as_mut());
        let began = Instant::now();
        let lease = app.bring(name, limit.as_deref().copied()).await?;
        if let Some(limit) = limit {
            *limit = limit.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        }
        Ok(lease)
    }
}

/// As [`blocking`], of work that is done again when the model that it lacks has been loaded.
pub(crate) async fn with_model<T: Send + 'static>(
    app: Arc<App>,
    work: impl Fn(&App) -> Result<T, Problem> + Clone + Send + 'static,
) -> Result<T, Problem> {
    let mut lease = None;
    loop {
        let again = work.clone();
        let done = blocking(Arc::clone(&app), move |app| again(app)).await;
        drop(lease);
        match done {
            Err(Problem { absent: Some(name), .. }) => lease = Some(app.bring(&name, None).await?),
            done => return done,
        }
    }
}

/// Parsing, rendering and tokenizing take as long as the request is large: not on the threads that serve everyone.
pub(crate) async fn blocking<T: Send + 'static>(
    app: Arc<App>,
    work: impl FnOnce(&App) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let internal = || Problem::new(Kind::Internal, "The request could not be prepared; the server's log says why.");
    let permit = app.blocking.clone().acquire_owned().await.map_err(|_| internal())?;
    let work = move || {
        // It goes on when its client has gone, and so does its permit.
        let _permit = permit;
        work(&app)
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        // What a panic says may be of the request.
        tracing::error!("preparing a request {}", if e.is_panic() { "panicked" } else { "was cut off" });
        internal()
    })?
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A response with a status, and when to try again.
fn response((status, retry): (StatusCode, Option<u16>), body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A name never used before: by this process by counting, by others by chance.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let chance = std::hash::RandomState::new().build_hasher().finish();
    format!("{prefix}{chance:016x}{:08x}", COUNT.fetch_add(1, Ordering::Relaxed))
}
