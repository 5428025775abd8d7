//! A configuration that changes while the server runs: read again when its file changes and at SIGHUP. What is invalid changes
//! nothing.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use anyhow::Context as _;
use config::{Config, Resolved};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use serve::http::Setter;
use serve::{App, Bounds, Configured, Keys, State};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::logging::Logging;
use super::settings::{Given, variables};
use super::{demand, network, routes, service};

/// A file is read when it has not changed for so long: who writes it may do so in steps.
const QUIET: Duration = Duration::from_millis(100);

/// What is reloaded, and what hears of it.
pub(super) struct Reload {
    pub(super) given: Given,
    /// The file's text as it was read last.
    pub(super) text: Option<String>,
    /// What the server runs with.
    pub(super) resolved: Resolved,
    /// The server; it ends without waiting for this.
    pub(super) app: Weak<App>,
    pub(super) setter: Setter,
    /// Whose requests are answered; their file has its own watch.
    pub(super) keys: Option<Keys>,
    pub(super) logging: Logging,
}

impl Reload {
    /// Watches the file from now on. The task ends when it is aborted.
    ///
    /// # Errors
    /// If the file's folder cannot be watched.
    pub(super) fn start(mut self) -> anyhow::Result<JoinHandle<()>> {
        let watched = self.given.file.as_deref().map(watch).transpose()?;
        let hangups = hangups()?;
        Ok(tokio::spawn(async move {
            let (_watcher, mut written) = watched.unzip();
            let mut hangups = hangups;
            loop {
                let asked = tokio::select! {
                    () = quiet(written.as_mut()) => false,
                    Some(()) = hangups.recv() => true,
                };
                match asked {
                    true => self.reload_and_tell(),
                    false => self.reload(false),
                }
            }
        }))
    }

    /// The service manager waits for what it asked for. It must not hear that a server is ready whose models are still
    /// being loaded.
    fn reload_and_tell(&mut self) {
        let runs = self.app.upgrade().is_some_and(|app| !matches!(app.state(), State::Loading | State::Draining));
        if runs {
            service::reloading();
        }
        self.reload(true);
        if runs {
            service::ready();
        }
    }

    /// Reads the file again. Who asked is answered even if nothing has changed.
    fn reload(&mut self, asked: bool) {
        let text = match self.given.read() {
            Ok(text) => text,
            Err(error) => {
                self.text = None;
                return self.refuse(&format!("{error:#}"));
            }
        };
        if text == self.text && !asked {
            return;
        }
        self.text = text;
        let wanted = self.given.resolve(self.text.as_deref(), &variables());
        match wanted.and_then(|wanted| Ok((self.resolved.adopt(&wanted)?, wanted))) {
            Ok((adopted, wanted)) => self.take(adopted, &wanted.config),
            Err(problems) => self.refuse(&problems.to_string()),
        }
    }

    fn refuse(&self, why: &str) {
        tracing::error!("the new configuration is invalid, nothing changes:\n{why}");
        self.report(Configured { invalid: true, restart: Vec::new() });
    }

    /// Runs with `adopted` from now on; `wanted` is what a restart would give.
    fn take(&mut self, adopted: Resolved, wanted: &Config) {
        let settings = match network::settings(&adopted.config, self.keys.as_ref()) {
            Ok(settings) => settings,
            Err(error) => return self.refuse(&format!("{error:#}")),
        };
        let paths = |old: &Config, new: &Config| {
            config::changes(old, new).iter().map(|change| change.setting.path.clone()).collect::<Vec<_>>()
        };
        let (changed, restart) = (paths(&self.resolved.config, &adopted.config), paths(&adopted.config, wanted));
        self.setter.set(settings);
        self.app.upgrade().inspect(|app| tell(app, &adopted.config));
        self.logging.change(&adopted.config.log);
        self.resolved = adopted;
        if restart.is_empty() {
            tracing::info!(changed = changed.join(", "), "configuration reloaded");
        } else {
            tracing::warn!(
                changed = changed.join(", "),
                restart = restart.join(", "),
                "configuration reloaded; a part needs a restart"
            );
        }
        self.report(Configured { invalid: false, restart });
    }

    fn report(&self, how: Configured) {
        if let Some(app) = self.app.upgrade() {
            app.configured(how);
        }
    }
}

/// What may change of the app, at the start and later.
pub(super) fn tell(app: &App, config: &Config) {
    app.answer_to_any_name(config.model.any_model_name);
    demand::begin(&config.demand, app);
    routes::tell(&config.demand, app);
    app.bound(Bounds {
        responses: config.storage.max_responses,
        response_bytes: config.storage.max_responses_size.bytes(),
        batch_requests: config.storage.batch_requests,
        file_bytes: config.storage.max_files_size.bytes(),
    });
}

/// Hears of changes in the file's folder: editors put another file in its place, and so do systems that mount configurations.
fn watch(file: &Path) -> anyhow::Result<(RecommendedWatcher, UnboundedReceiver<()>)> {
    let failed = || format!("cannot watch {} for changes", file.display());
    let (sender, written) = unbounded_channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // To read a file is an event too.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = sender.send(());
        }
    })
    .with_context(failed)?;
    for folder in folders(file).with_context(failed)? {
        watcher.watch(&folder, RecursiveMode::NonRecursive).with_context(failed)?;
    }
    Ok((watcher, written))
}

/// Where the file is, and where it is really if it is a link.
fn folders(file: &Path) -> std::io::Result<Vec<PathBuf>> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let here = parent.unwrap_or(Path::new(".")).canonicalize()?;
    let real = file.canonicalize()?.parent().map(Path::to_owned);
    Ok(real.into_iter().filter(|real| *real != here).chain([here.clone()]).collect())
}

/// Ends when something was written and then nothing for [`QUIET`]; never, where nothing is watched.
async fn quiet(written: Option<&mut UnboundedReceiver<()>>) {
    let Some(written) = written else { return std::future::pending().await };
    if written.recv().await.is_none() {
        return std::future::pending().await;
    }
    while let Ok(Some(())) = tokio::time::timeout(QUIET, written.recv()).await {}
}

#[cfg(unix)]
fn hangups() -> std::io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
}

#[cfg(not(unix))]
fn hangups() -> std::io::Result<UnboundedReceiver<()>> {
    Ok(unbounded_channel().1)
}
