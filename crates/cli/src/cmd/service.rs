//! What the service manager hears: systemd, or whoever sets `NOTIFY_SOCKET` and `WATCHDOG_USEC` as it does.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sd_notify::NotifyState;
use serve::{App, State};

/// Models are in memory: requests are answered.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("ready")]);
}

pub(super) fn loading() {
    tell(&[NotifyState::Status("loading the models")]);
}

/// The configuration is read again; [`ready`] says that it was.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(e) => tracing::warn!("the service manager is not told of the reload: {e}"),
    }
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing open answers")]);
}

/// Says as often as is asked for that the server is alive: its client threads run, and not all of its models have failed.
pub(super) fn watch(app: &Arc<App>) {
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tokio::spawn(alive(Arc::downgrade(app), limit / 2));
    }
}

async fn alive(app: Weak<App>, every: Duration) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        match app.upgrade().map(|app| app.state()) {
            None => return,
            Some(State::Failed) => {}
            Some(_) => tell(&[NotifyState::Watchdog]),
        }
    }
}

fn tell(what: &[NotifyState]) {
    if let Err(e) = sd_notify::notify(what) {
        tracing::warn!("the service manager cannot be told: {e}");
    }
}
