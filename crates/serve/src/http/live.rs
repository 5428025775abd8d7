//! Settings that may change while the server runs.

use std::sync::Arc;

use tokio::sync::watch;

use super::Settings;

/// The settings that hold now. Connections take their time limits when they begin, requests what is allowed when they come.
/// [`Settings::max_bodies`] stays what it was at the start.
#[derive(Clone, Debug)]
pub struct Live(watch::Receiver<Arc<Settings>>);

/// Changes the settings of a server that runs.
#[derive(Debug)]
pub struct Setter(watch::Sender<Arc<Settings>>);

impl Live {
    /// Settings, and what changes them.
    pub fn new(settings: Settings) -> (Live, Setter) {
        let (setter, live) = watch::channel(Arc::new(settings));
        (Live(live), Setter(setter))
    }

    pub(super) fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }
}

impl From<Settings> for Live {
    /// Settings that never change.
    fn from(settings: Settings) -> Live {
        Live::new(settings).0
    }
}

impl Setter {
    /// From now on these hold.
    pub fn set(&self, settings: Settings) {
        self.0.send_replace(Arc::new(settings));
    }
}
