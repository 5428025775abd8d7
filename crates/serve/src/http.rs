//! Routes and the listening loop.

use std::sync::Arc;

use crate::App;

/// Serves until `shutdown` ends, then drains: open answers are finished (up to `grace`), new requests get 503.
///
/// # Errors
/// If the socket fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: std::time::Duration,
) -> std::io::Result<()> {
    let _ = (listener, app, shutdown, grace);
    todo!()
}
