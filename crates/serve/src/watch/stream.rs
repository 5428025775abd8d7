//! `GET /v1/telemetry/stream`: all that is known, and then what changes, as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::snapshot::names_tenants;
use crate::App;
use crate::app::State as AppState;
use crate::http::Settings;

/// How often it is looked whether something has changed: twice in the time within which a page is to show it.
const TICK: Duration = Duration::from_millis(40);

/// The messages of one who watches. Who is slow gets the newest after the one that waits, and misses those between.
pub(super) async fn stream(State(app): State<Arc<App>>, request: Request) -> Response {
    let (to, messages) = mpsc::channel(1);
    let pings = Settings::of(request.extensions()).ping_interval;
    tokio::spawn(tell(Arc::downgrade(&app), names_tenants(request.extensions()), to));
    let mut response = Sse::new(Messages(messages)).keep_alive(KeepAlive::new().interval(pings)).into_response();
    // Asks nginx and its kin not to collect events.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Tells what changes until nobody listens, or the server goes down: it does not wait for who only watches.
async fn tell(app: Weak<App>, tenants: bool, to: mpsc::Sender<String>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = to.closed() => return,
        }
        let Some(app) = app.upgrade().filter(|app| app.state() != AppState::Draining) else { return };
        let parts = app.watch.board.parts(&app, tenants);
        if told.as_ref().is_some_and(|told| Arc::ptr_eq(told, &parts)) {
            continue;
        }
        drop(app);
        if to.send(parts.since(told.as_deref())).await.is_err() {
            return;
        }
        told = Some(parts);
    }
}

struct Messages(mpsc::Receiver<String>);

impl Stream for Messages {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|message| message.map(|message| Ok(Event::default().data(message))))
    }
}
