//! The listening loop and the drain at its end.

pub(crate) mod body;
mod connection;
pub(crate) mod log;
mod page;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::App;

/// After the grace: how long to wait for bytes on their way.
const LINGER: Duration = Duration::from_secs(1);

/// A grace as good as without end; an instant can hold it.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Serves until `shutdown` ends, then drains: open answers are finished (up to `grace`), new requests get 503.
///
/// # Errors
/// If the socket fails.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> std::io::Result<()> {
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let deadline = tokio::select! {
        never = accept(&listener, app.clone(), &closing, &mut connections) => match never {},
        deadline = drained(&app, shutdown, grace) => deadline,
    };
    drop(listener);
    closing.cancel();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at(deadline.max(Instant::now() + LINGER), all_closed).await;
    connections.shutdown().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    app: Arc<App>,
    closing: &CancellationToken,
    connections: &mut JoinSet<()>,
) -> std::convert::Infallible {
    let router = routes::router(app);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection::run(stream, router.clone(), closing.clone()))),
                Err(e) => wait_after(&e).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection that failed before it was accepted is nobody's business; without file descriptors, trying again at once
/// would only burn a core.
async fn wait_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!("cannot accept connections: {error}");
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(200)).await;
    }
}

/// Ends when `shutdown` has ended and no answer is open; gives the end of the grace.
async fn drained(app: &App, shutdown: impl Future<Output = ()>, grace: Duration) -> Instant {
    shutdown.await;
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
