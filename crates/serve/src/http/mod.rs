//! HTTP/1: listening, the drain at its end, and what each request goes through.

mod access;
pub(crate) mod body;
mod connection;
pub(crate) mod context;
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

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use self::access::Access;
pub(crate) use self::access::is_local;
pub use self::listener::Listener;
pub use self::live::{Live, Setter};
pub use self::settings::Settings;
use crate::{App, models, watch};

/// After the grace: how long to wait for bytes on their way.
const LINGER: Duration = Duration::from_secs(1);

/// A time as good as without end; an instant can hold it.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Serves until `shutdown` ends, then drains: open answers are finished (up to the grace), new requests get 503.
///
/// Over [`Settings::max_connections`] a client is told so: 503 with `Retry-After`, after which its connection is closed.
/// `/health` is still answered, so that a server with much to do is not taken for a dead one.
///
/// # Errors
/// If a socket fails.
pub async fn serve(
    listeners: Vec<Listener>,
    app: Arc<App>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    settings: impl Into<Live>,
) -> std::io::Result<()> {
    let closing = CancellationToken::new();
    let _seconds = AbortOnDropHandle::new(tokio::spawn(watch::run(Arc::downgrade(&app))));
    let mut connections = JoinSet::new();
    let settings = settings.into();
    let entrance = listener::Entrance {
        listeners: &listeners,
        router: routes::router(Arc::clone(&app)),
        settings: settings.clone(),
        closing: &closing,
        connections: &mut connections,
    };
    let reaper = AbortOnDropHandle::new(tokio::spawn(models::reap(Arc::downgrade(&app))));
    let deadline = tokio::select! {
        never = entrance.run() => match never {},
        deadline = drained(&app, shutdown, &settings) => deadline,
    };
    drop((listeners, reaper));
    closing.cancel();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at(deadline.max(Instant::now() + LINGER), all_closed).await;
    connections.shutdown().await;
    Ok(())
}

/// Ends when `shutdown` has ended and no answer is open; gives the end of the grace.
async fn drained(app: &App, shutdown: impl Future<Output = ()>, settings: &Live) -> Instant {
    shutdown.await;
    let grace = settings.now().grace;
    let deadline = Instant::now() + grace.min(FOREVER);
    tracing::info!(open = app.open.len(), "draining");
    app.drain();
    app.open.close();
    if tokio::time::timeout_at(deadline, app.open.wait()).await.is_err() {
        tracing::warn!(open = app.open.len(), "the grace is over: open answers are cut off");
        app.stop();
        let _ = tokio::time::timeout(LINGER, app.open.wait()).await;
    }
    deadline
}
