//! One line in the log for each request, written when its answer has gone out (or its client has).

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use answer::Tally;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::body;
use super::caller::Caller;
use super::context::Context;
use crate::app::State as AppState;
use crate::faults::Head;
use crate::wire::Way;
use crate::{App, faults};

/// Wraps every request: counts it as open until its body has gone, gives it an id, and logs it.
pub(super) async fn requests(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let tokens = Tokens::default();
    request.extensions_mut().insert(tokens.clone());
    let context = Context::of(request.headers());
    request.extensions_mut().insert(RequestId(context.id.as_str().into()));
    let mut entry = Entry {
        context,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        began: Instant::now(),
        status: None,
        caller: None,
        tokens,
        app: Arc::clone(&app),
        _open: app.open.token(),
    };
    let head = Head::mark(&app, &mut request, &entry.context.id);
    let mut response = faults::cut(next.run(request).await, head.as_ref());
    entry.status = Some(response.status());
    entry.caller = Caller::of(response.extensions()).name();
    let headers = response.headers_mut();
    entry.context.tell(headers);
    entry.tokens.tell(headers);
    if app.state() == AppState::Draining {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| body::with(body, entry))
}

/// The name of a request among its extensions.
#[derive(Clone)]
struct RequestId(Arc<str>);

/// The name of the request that has these extensions: what its answer says in `x-request-id`.
pub(crate) fn request_id(extensions: &Extensions) -> String {
    extensions.get::<RequestId>().map_or_else(|| unique("req"), |RequestId(id)| id.to_string())
}

/// Where a handler leaves what its request takes, for the log and for the account of its key.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<Taken>);

#[derive(Default)]
struct Taken {
    /// Of the generation.
    tally: OnceLock<Arc<Tally>>,
    /// Of texts for which nothing is generated.
    read: AtomicUsize,
    /// Which way it took, if its model is a route.
    way: OnceLock<Way>,
}

impl Tokens {
    /// Counts with the tally of a generation.
    pub(crate) fn set(&self, tally: &Arc<Tally>) {
        // A request has one generation.
        let _ = self.0.tally.set(Arc::clone(tally));
    }

    /// So many tokens are computed, and none generated.
    pub(crate) fn read(&self, tokens: usize) {
        self.0.read.fetch_add(tokens, Ordering::Relaxed);
    }

    /// It is answered by a variant of a route.
    pub(crate) fn went(&self, way: Way) {
        // A request goes one way.
        let _ = self.0.way.set(way);
    }

    /// Tells the client which variant answers, and which one failed before.
    fn tell(&self, headers: &mut HeaderMap) {
        let Some(Way { variant, fallen, .. }) = self.0.way.get() else { return };
        let told = [("x-whinchat-variant", Some(variant)), ("x-whinchat-fallback", fallen.as_ref())];
        for (name, value) in told.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }

    /// The route that it took, and the variant, for the log.
    fn way(&self) -> String {
        self.0.way.get().map_or_else(|| "-".to_owned(), |way| format!("{}/{}", way.route, way.variant))
    }

    fn prompt(&self) -> usize {
        self.0.tally.get().map_or(0, |tally| tally.prompt()) + self.0.read.load(Ordering::Relaxed)
    }

    /// The engine's number of the request.
    fn request(&self) -> Option<u64> {
        Some(self.0.tally.get()?.request()?.0)
    }

    fn generated(&self) -> usize {
        self.0.tally.get().map_or(0, |tally| tally.generated())
    }

    /// All of them until now.
    pub(crate) fn spent(&self) -> usize {
        self.prompt() + self.generated()
    }
}

/// A name never used before: by this process by counting, by others by chance.
pub(super) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let chance = std::hash::RandomState::new().build_hasher().finish();
    format!("{prefix}-{chance:016x}{:08x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A request; logged when dropped, so that none is missed.
struct Entry {
    context: Context,
    method: Method,
    path: String,
    began: Instant,
    status: Option<StatusCode>,
    /// The name of the key that it came with.
    caller: Option<Arc<str>>,
    tokens: Tokens,
    app: Arc<App>,
    _open: TaskTrackerToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (prompt, generated) = (self.tokens.prompt(), self.tokens.generated());
        let Entry { context, method, path, .. } = &*self;
        let Context { id, trace, .. } = context;
        if let Some(request) = self.tokens.request() {
            self.app.watch.sent(request, id, context.trace(path));
        }
        let key = self.caller.as_deref().unwrap_or("-");
        let ms = self.began.elapsed().as_millis();
        // As nginx writes it: the client has gone before there was an answer.
        let status = self.status.map_or(499, |status| status.as_u16());
        let trace = format_args!("{trace:032x}");
        let way = self.tokens.way();
        tracing::info!(id, trace, %method, path, status, key, way, prompt, generated, ms, "request");
    }
}
