//! HTTP/1: listening, the drain at its end, and what each request goes through.

mod access;
pub(crate) mod body;
mod caller;
mod connection;
pub(crate) mod context;
mod health;
mod hints;
mod listener;
mod live;
pub(crate) mod log;
mod page;
mod patient;
mod routes;
mod settings;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use self::access::Access;
pub(crate) use self::access::is_local;
pub(crate) use self::caller::Caller;
pub use self::listener::Listener;
pub use self::live::{Live, Setter};
pub(crate) use self::log::request_id;
pub use self::settings::Settings;
pub use self::tls::{Tls, TlsFiles};
use crate::{App, models, watch};

/// After the grace: how long to wait for bytes on their way.
const LINGER: Duration = Duration::from_secs(1);

/// After a hand-over: how long a connection without a request is kept after its last answer, because another one may be on its way.
const LEAVE: Duration = Duration::from_secs(5);

/// A time as good as without end; an instant can hold it.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How a server ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Open answers are finished (up to the grace), new requests get 503.
    #[default]
    Drain,
    /// Another process accepts from the same sockets: who comes is its client, and nobody is refused here. Connections that are open are
    /// closed behind their next answer, those without a request after a few seconds.
    HandOver,
}

impl From<()> for Ending {
    fn from((): ()) -> Ending {
        Ending::Drain
    }
}

/// What connections hear of the server's end.
#[derive(Clone, Default)]
struct Ends {
    /// Each answer is the last one of its connection, and what has no request ends soon.
    leaving: CancellationToken,
    /// Connections without a request are closed.
    closing: CancellationToken,
}

/// Serves until `shutdown` ends, and then as that says.
///
/// Over [`Settings::max_connections`] a client is told so: 503 with `Retry-After`, after which its connection is closed.
/// `/health` is still answered, so that a server with much to do is not taken for a dead one.
///
/// # Errors
/// If a socket fails.
pub async fn serve(
    listeners: Vec<Listener>,
    app: Arc<App>,
    shutdown: impl Future<Output = impl Into<Ending>> + Send + 'static,
    settings: impl Into<Live>,
) -> std::io::Result<()> {
    let ends = Ends::default();
    let _seconds = AbortOnDropHandle::new(tokio::spawn(watch::run(Arc::downgrade(&app))));
    let _routes = AbortOnDropHandle::new(tokio::spawn(crate::routes::run(Arc::downgrade(&app))));
    let mut connections = JoinSet::new();
    let settings = settings.into();
    app.answers_keys(settings.now().access.keys.as_ref());
    let entrance = listener::Entrance {
        listeners: &listeners,
        router: routes::router(Arc::clone(&app)),
        settings: settings.clone(),
        ends: &ends,
        connections: &mut connections,
    };
    let reaper = AbortOnDropHandle::new(tokio::spawn(models::reap(Arc::downgrade(&app))));
    let (ending, deadline) = tokio::select! {
        never = entrance.run() => match never {},
        ended = accepting_until(&app, shutdown, &settings) => ended,
    };
    drop((listeners, reaper));
    if ending == Ending::HandOver {
        handed_over(&app, &ends, &mut connections, deadline).await;
    }
    ends.closing.cancel();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at(deadline.max(Instant::now() + LINGER), all_closed).await;
    connections.shutdown().await;
    #[cfg(feature = "batches")]
    crate::routes::keep(&app).await;
    Ok(())
}

/// Serves what has no models, and needs no key: until `shutdown` ends, and then until open answers are finished, for the grace at most.
pub(crate) async fn serve_alone(
    listeners: Vec<Listener>,
    router: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    settings: Live,
) -> std::io::Result<()> {
    let (ends, mut connections) = (Ends::default(), JoinSet::new());
    let entrance = listener::Entrance {
        listeners: &listeners,
        router: router.layer(axum::middleware::from_fn(access::guard)),
        settings: settings.clone(),
        ends: &ends,
        connections: &mut connections,
    };
    tokio::select! {
        never = entrance.run() => match never {},
        () = shutdown => {}
    }
    drop(listeners);
    ends.closing.cancel();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(settings.now().grace.min(FOREVER), all_closed).await;
    connections.shutdown().await;
    Ok(())
}

/// Ends when the server need not accept connections any longer. For a drain that is when no answer is open: until then who comes is told
/// so. Gives the end of the grace too.
async fn accepting_until(
    app: &App,
    shutdown: impl Future<Output = impl Into<Ending>>,
    settings: &Live,
) -> (Ending, Instant) {
    let ending = shutdown.await.into();
    let deadline = Instant::now() + settings.now().grace.min(FOREVER);
    if ending == Ending::Drain {
        drained(app, deadline).await;
    }
    (ending, deadline)
}

/// Answers what is open and what comes by open connections, each of which ends behind that or when nothing has come for a while.
/// The engine is told to drain at the end alone: it would refuse who has come just now.
async fn handed_over(app: &App, ends: &Ends, connections: &mut JoinSet<()>, deadline: Instant) {
    tracing::info!(connections = connections.len(), "another process accepts connections now");
    ends.leaving.cancel();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at(deadline, all_closed).await;
    drained(app, deadline).await;
}

/// Takes no more requests, and ends when no answer is open any longer: at the deadline they are cut off.
async fn drained(app: &App, deadline: Instant) {
    tracing::info!(open = app.open.len(), "draining");
    app.drain();
    app.open.close();
    if tokio::time::timeout_at(deadline, app.open.wait()).await.is_err() {
        tracing::warn!(open = app.open.len(), "the grace is over: open answers are cut off");
        app.stop();
        let _ = tokio::time::timeout(LINGER, app.open.wait()).await;
    }
}
