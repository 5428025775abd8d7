//! A service over HTTP: its operations, and what every service answers beside them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::faults::{Faults, Harm};
use super::{Operation, Refusal, Reply, Service, document, page, parsed};
use crate::http::{self, Listener, Live, body};

/// A service that answers.
pub struct Running {
    service: Arc<dyn Service>,
    faults: Faults,
    counts: Mutex<BTreeMap<&'static str, Count>>,
    is_draining: AtomicBool,
    memory: Memory,
}

/// Bytes that the process has in memory, if the system tells.
pub type Memory = fn() -> Option<u64>;

/// What was asked at one path.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    calls: u64,
    refused: u64,
    seconds: f64,
    received: u64,
    sent: u64,
}

impl Running {
    /// A service that is about to answer; `faults`: they may be injected.
    pub fn new(service: impl Service, faults: bool, memory: Memory) -> Arc<Running> {
        let (service, faults, counts) = (Arc::new(service), Faults::new(faults), Mutex::default());
        Arc::new(Running { service, faults, counts, is_draining: AtomicBool::new(false), memory })
    }

    /// What the service is called.
    pub fn name(&self) -> &'static str {
        self.service.name()
    }

    fn router(self: &Arc<Self>) -> Router {
        let operations = self.service.operations().iter().fold(Router::new(), |router, operation| {
            let filter = if operation.method == "GET" { MethodFilter::GET } else { MethodFilter::POST };
            let answer = move |State(running): State<Arc<Running>>, request| call(running, *operation, request);
            router.route(operation.path, on(filter, answer))
        });
        operations
            .route("/", get(shown))
            .route("/health", get(health))
            .route("/metrics", get(metrics))
            .route("/examples", get(examples))
            .route("/openapi.json", get(described))
            .route("/debug", get(debug))
            .route("/faults", get(faults).post(inject).delete(heal))
            .fallback(unknown)
            .method_not_allowed_fallback(not_so)
            .with_state(Arc::clone(self))
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<&'static str, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that began at a time.
    fn count(&self, path: &'static str, began: Instant, received: usize, answer: &Result<Reply, Refusal>) {
        let mut counts = self.counts();
        let count = counts.entry(path).or_default();
        count.calls += 1;
        count.refused += u64::from(answer.is_err());
        count.seconds += began.elapsed().as_secs_f64();
        count.received += received as u64;
        if let Ok(Reply::Json(bytes) | Reply::Bytes(bytes)) = answer {
            count.sent += bytes.len() as u64;
        }
    }
}

/// Answers until `shutdown` ends; open answers are finished then.
///
/// # Errors
/// If a socket fails.
pub async fn run_service(
    listeners: Vec<Listener>,
    running: Arc<Running>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    settings: impl Into<Live>,
) -> std::io::Result<()> {
    let router = running.router();
    let ending = async move {
        shutdown.await;
        running.is_draining.store(true, Ordering::Relaxed);
    };
    http::serve_alone(listeners, router, ending, settings.into()).await
}

async fn call(running: Arc<Running>, operation: Operation, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match body::read(&head, body).await {
        Ok(body) => body,
        Err(problem) => return crate::wire::problem(operation.path, &problem),
    };
    let harm = running.faults.strike(operation.path);
    if let Some(answer) = harmed(harm).await {
        return answer;
    }
    let (began, received, service) = (Instant::now(), body.len(), Arc::clone(&running.service));
    let answer = match operation.is_heavy {
        true => {
            let work = tokio::task::spawn_blocking(move || service.call(operation.path, &body)).await;
            work.unwrap_or_else(|error| Err(Refusal::internal(format!("The operation panicked: {error}."))))
        }
        false => service.call(operation.path, &body),
    };
    running.count(operation.path, began, received, &answer);
    answer.map_or_else(refused, |reply| match reply {
        Reply::Json(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Reply::Bytes(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
    })
}

/// What a fault answers in the service's place, if it does.
async fn harmed(harm: Option<Harm>) -> Option<Response> {
    match harm? {
        Harm::Delay { ms } => {
            sleep_until(Instant::now() + Duration::from_millis(ms)).await;
            None
        }
        Harm::Error { status, message } => {
            let message = message.unwrap_or_else(|| "This is a fault on purpose.".to_owned());
            Some(refused(Refusal { status, code: "injected_fault", message }))
        }
        Harm::Wrong => Some(Json(json!({})).into_response()),
        Harm::Cut => Some(Response::new(Body::new(Broken))),
    }
}

/// A body that fails before its first byte: hyper closes the connection.
struct Broken;

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        std::task::Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other("a fault on purpose")))))
    }
}

/// An error in OpenAI's shape, as the server's own are.
fn refused(refusal: Refusal) -> Response {
    let Refusal { status, code, message } = refusal;
    let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
    let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}

async fn unknown(request: Request) -> Response {
    refused(Refusal::unknown(request.uri().path()))
}

async fn not_so(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    refused(Refusal::new(405, "method_not_allowed", format!("{path} does not take {method}.")))
}

async fn shown(State(running): State<Arc<Running>>) -> Response {
    page(running.service.name(), running.service.about())
}

async fn health(State(running): State<Arc<Running>>) -> Response {
    let faults = running.faults.lasting();
    let draining = running.is_draining.load(Ordering::Relaxed);
    let mut reasons: Vec<String> = Vec::new();
    if draining {
        reasons.push("the service is going down".to_owned());
    }
    if !faults.is_empty() {
        reasons.push(format!("{} faults on purpose last", faults.len()));
    }
    let status = if draining { "draining" } else { "ready" };
    let told = json!({
        "status": status, "service": running.service.name(), "reasons": reasons, "faults": faults,
        "resident_bytes": (running.memory)(), "version": env!("CARGO_PKG_VERSION"),
    });
    let code = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(told)).into_response()
}

async fn metrics(State(running): State<Arc<Running>>) -> Response {
    let (name, counts) = (running.service.name(), running.counts().clone());
    type Column = (&'static str, &'static str, fn(&Count) -> f64);
    let columns: [Column; 5] = [
        ("calls_total", "Calls", |count| count.calls as f64),
        ("refused_total", "Calls that were answered with an error", |count| count.refused as f64),
        ("seconds_total", "Seconds that the calls took", |count| count.seconds),
        ("received_bytes_total", "Bytes of their bodies", |count| count.received as f64),
        ("sent_bytes_total", "Bytes of their answers", |count| count.sent as f64),
    ];
    let mut text = String::new();
    for (column, help, value) in columns {
        text += &format!("# HELP whinchat_service_{column} {help}.\n# TYPE whinchat_service_{column} counter\n");
        for (path, count) in &counts {
            text += &format!("whinchat_service_{column}{{service=\"{name}\",path=\"{path}\"}} {}\n", value(count));
        }
    }
    let memory = (running.memory)().map(|bytes| ("resident_bytes", "Bytes of the process in memory", bytes as f64));
    for (gauge, help, value) in running.service.gauges().into_iter().chain(memory) {
        text += &format!("# HELP whinchat_service_{gauge} {help}.\n# TYPE whinchat_service_{gauge} gauge\n");
        text += &format!("whinchat_service_{gauge}{{service=\"{name}\"}} {value}\n");
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn examples(State(running): State<Arc<Running>>) -> Json<Value> {
    Json(json!({ "service": running.service.name(), "examples": running.service.examples() }))
}

async fn described(State(running): State<Arc<Running>>) -> Json<Value> {
    Json(document::document(&*running.service))
}

async fn debug(State(running): State<Arc<Running>>) -> Json<Value> {
    Json(running.service.state())
}

async fn faults(State(running): State<Arc<Running>>) -> Json<Value> {
    Json(running.faults.told())
}

async fn inject(State(running): State<Arc<Running>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match body::read(&head, body).await {
        Ok(body) => {
            let injected = parsed(&body).and_then(|wish| running.faults.inject(wish));
            injected.map_or_else(refused, |told| Json(told).into_response())
        }
        Err(problem) => crate::wire::problem("/faults", &problem),
    }
}

async fn heal(State(running): State<Arc<Running>>) -> Json<Value> {
    Json(running.faults.heal())
}
