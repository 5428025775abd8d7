//! A running server for a test, and what tests compare with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use answer::{Embedder, LoadedModel, ModelInfo, Pooling, Sampling};
use engine::{EngineConfig, EngineHandle, EngineStats, Executor, Observer};
use serde_json::{Value, json};
use serve::App;
use serve::http::{Listener, Live, Setter, Settings, Tls};
use text::Dialect;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Answer, fetch};
use crate::model::{END, Scripted, VOCAB, template, tokenizer};

/// Longest sequence of the tests' model.
pub(crate) const CONTEXT: usize = 1 << 20;

/// How long anything may take before a test fails rather than hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A server that runs in this test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    pub(crate) engine: EngineHandle,
    /// Changes its settings.
    pub(crate) setter: Setter,
    shutdown: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<std::io::Result<()>>>,
}

/// How a test's server differs from others.
pub(crate) struct Setup {
    pub(crate) queue: usize,
    pub(crate) context: usize,
    pub(crate) gate: Option<Receiver<()>>,
    pub(crate) settings: Settings,
    pub(crate) loaded: bool,
    pub(crate) tls: Option<Tls>,
}

impl Default for Setup {
    fn default() -> Setup {
        let settings = Settings { grace: DEADLINE, ..Settings::default() };
        Setup { queue: 64, context: CONTEXT, gate: None, settings, loaded: true, tls: None }
    }
}

impl Server {
    /// A server with one model, `tiny`.
    pub(crate) async fn start() -> Server {
        Server::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = App::new();
        let (engine, model) = served(setup.gate, setup.queue, setup.context);
        if setup.loaded {
            app.add(model);
        }
        let (shutdown, asked) = oneshot::channel();
        let asked = async { drop(asked.await) };
        let (live, setter) = Live::new(setup.settings);
        let listener = match setup.tls {
            Some(tls) => Listener::Tls(listener, tls),
            None => listener.into(),
        };
        let task = tokio::spawn(serve::http::serve(vec![listener], app.clone(), asked, live));
        Server { address, app, engine, setter, shutdown: Some(shutdown), task: Some(task) }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        fetch(self.address, "POST", path, body.to_string().as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        fetch(self.address, "GET", path, b"").await
    }

    /// Sends a request; compares the status and the part of the answer that `expected` names.
    pub(crate) async fn check(&self, path: &str, body: &Value, status: u16, expected: &Value) {
        let answer = self.post(path, body).await;
        let found = answer.json();
        assert_eq!(answer.head.status, status, "{path} {body}: {found}");
        assert!(matches(expected, &found), "{path} {body}:\n{found:#}\ndoes not have\n{expected:#}");
    }

    /// Asks the server to end; it drains.
    pub(crate) fn shut_down(&mut self) {
        self.shutdown.take().map(|sender| sender.send(()));
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(&mut self) {
        let task = self.task.take().expect("a server ends once");
        let ended = tokio::time::timeout(DEADLINE, task).await.expect("the server ends in time");
        ended.expect("the server does not panic").expect("the server does not fail");
    }

    /// Waits until the engine's counters are as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(EngineStats) -> bool) {
        let began = Instant::now();
        while !wanted(self.engine.stats()) {
            assert!(began.elapsed() < DEADLINE, "{what}: {:?}", self.engine.stats());
            tokio::task::yield_now().await;
        }
    }
}

/// A model `tiny` with its engine.
pub(crate) fn served(gate: Option<Receiver<()>>, queue: usize, context: usize) -> (EngineHandle, LoadedModel) {
    let executor = Scripted { kv_blocks: 4 * CONTEXT / 16, gate, logits: Vec::new() };
    loaded("tiny", Dialect::of_template(""), executor, (queue, context))
}

/// A model with its engine; `limits` are the length of its queue and its context.
pub(crate) fn loaded(
    name: &str,
    dialect: Dialect,
    executor: impl Executor + 'static,
    limits: (usize, usize),
) -> (EngineHandle, LoadedModel) {
    observed(name, dialect, executor, limits, ())
}

/// The same, with an observer of its engine.
pub(crate) fn observed(
    name: &str,
    dialect: Dialect,
    executor: impl Executor + 'static,
    (max_queue, context): (usize, usize),
    observer: impl Observer + 'static,
) -> (EngineHandle, LoadedModel) {
    // Gates count steps, and texts that are recited follow no rule: a token a step.
    let (max_draft, own) = (0, EngineConfig::default());
    let config = EngineConfig { max_batch_tokens: 512, max_sequences: 64, max_queue, context, max_draft, ..own };
    let info = ModelInfo {
        name: name.into(),
        tokenizer: tokenizer(),
        template: Ok(template()),
        dialect,
        sampling: Sampling::greedy(),
        stop_tokens: [END].into(),
        created: 1_700_000_000,
    };
    let began = Instant::now();
    let model = LoadedModel::start(info, executor, config, move || began.elapsed(), observer).expect("a thread");
    let encoder = || Ok(Box::new(Scripted { kv_blocks: 64, gate: None, logits: Vec::new() }) as Box<dyn Executor>);
    let embedder = Embedder::new(Pooling::Last, VOCAB, Box::new(encoder));
    (model.engine().clone(), model.with_embedder(embedder))
}

/// A gate for a model: each step waits for a permit; dropping the sender opens it for good.
pub(crate) fn gate() -> (SyncSender<()>, Receiver<()>) {
    std::sync::mpsc::sync_channel(1 << 10)
}

/// A chat of one message.
pub(crate) fn chat(content: &str, more: Value) -> Value {
    with(json!({ "messages": [{ "role": "user", "content": content }] }), more)
}

/// A completion.
pub(crate) fn completion(prompt: &str, more: Value) -> Value {
    with(json!({ "prompt": prompt }), more)
}

/// `base` with the fields of `more`.
pub(crate) fn with(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

/// Whether `found` has all that `expected` has. A string that begins with ~ stands for any that contains the rest.
pub(crate) fn matches(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| matches(value, found)))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| matches(expected, found))
        }
        (Value::String(expected), Value::String(found)) => match expected.strip_prefix('~') {
            Some(part) => found.contains(part),
            None => expected == found,
        },
        _ => expected == found,
    }
}
