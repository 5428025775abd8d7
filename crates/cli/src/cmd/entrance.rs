//! How a server begins to answer and how it ends, where it may have taken its sockets from another one.

use std::path::PathBuf;
use std::sync::Arc;

use config::Network;
use serve::App;
use serve::http::{Ending, Live, Tls};
use tokio::task::JoinHandle;

use super::listen::{Files, Listening, Place};
use super::service;
use super::sockets::{Door, Predecessor, Sockets};

/// The sockets of a server, and whose they were.
pub(super) struct Entrance {
    listening: Listening,
    /// What `--listen` calls them.
    names: Vec<String>,
    /// The server that answers on them until this one can.
    predecessor: Option<Predecessor>,
    /// Where the next server asks for them.
    hand_over: Option<PathBuf>,
    /// They are the service manager's: who comes when this process has ended is answered by the next one.
    passed: bool,
}

impl Entrance {
    /// Takes the sockets that the service manager has passed, else those of the server that runs, and opens what is missing.
    ///
    /// # Errors
    /// If one cannot be opened, or the server that runs does not give its own.
    pub(super) async fn open(network: &Network, tls: Option<&Tls>, passed: Sockets) -> anyhow::Result<Entrance> {
        let mut predecessor = match &network.hand_over {
            Some(path) => Predecessor::find(path)?,
            None => None,
        };
        let names = passed.names();
        let (names, mut given, passed) = match names.is_empty() {
            true => (network.listen.clone(), predecessor.as_mut().map(Predecessor::sockets).unwrap_or_default(), false),
            false => (names, passed, true),
        };
        let listening = Listening::on(&names, tls, &mut given).await?;
        Ok(Entrance { listening, names, predecessor, hand_over: network.hand_over.clone(), passed })
    }

    pub(super) fn places(&self) -> Vec<Place> {
        self.listening.places.clone()
    }

    pub(super) fn warn_if_open(&self) {
        self.listening.warn_if_open();
    }

    /// Whether this server must not accept before its models are loaded: until then another one answers, or who comes waits in the
    /// sockets' queues.
    pub(super) fn opens_late(&self) -> bool {
        self.passed || self.predecessor.is_some()
    }

    /// Answers from now on, until `stop` ends or another server takes over.
    ///
    /// # Errors
    /// If the next server could not ask for the sockets.
    pub(super) fn start(
        &mut self,
        app: &Arc<App>,
        live: Live,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
        let listeners = std::mem::take(&mut self.listening.listeners);
        let door = match &self.hand_over {
            Some(path) => Some(Door::open(path, Sockets::of(&self.names, &listeners)?)?),
            None => None,
        };
        let stopped = if self.passed { Ending::HandOver } else { Ending::Drain };
        let ending = ending(stop, stopped, door, Arc::clone(&self.listening.files));
        let server = tokio::spawn(serve::http::serve(listeners, Arc::clone(app), ending, live));
        if let Some(predecessor) = self.predecessor.take() {
            match predecessor.leave() {
                Ok(()) => tracing::info!("took over: the server before finishes what it has begun"),
                Err(e) => tracing::warn!("the server before has ended by itself: {e}"),
            }
            if !self.passed {
                self.listening.own_files();
            }
        }
        Ok(server)
    }
}

/// Ends with the server: `stopped` when `stop` does.
async fn ending(stop: impl Future<Output = ()>, stopped: Ending, door: Option<Door>, files: Arc<Files>) -> Ending {
    let taken_over = async {
        match door {
            Some(door) => door.until_taken_over().await,
            None => std::future::pending().await,
        }
    };
    let ending = tokio::select! {
        () = stop => stopped,
        () = taken_over => {
            files.leave();
            Ending::HandOver
        }
    };
    service::stopping();
    ending
}
