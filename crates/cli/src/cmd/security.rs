//! From the settings about security to keys and certificates, whose files may change while the server runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use config::{Config, Security};
use serve::Keys;
use serve::http::{Tls, TlsFiles};

use crate::keys;

/// How often files are looked at: by their time and size, which every file system and every way of replacing files has.
const LOOK: Duration = Duration::from_secs(1);

/// What was read; read anew when the files change.
pub(super) struct Secured {
    pub(super) keys: Option<Keys>,
    pub(super) tls: Option<Tls>,
}

/// What is wrong with the settings about security: which, and why.
pub(super) fn problem(config: &Config) -> Option<(&'static str, String)> {
    let Security { tls_cert, tls_key, tls_client_ca, .. } = &config.security;
    let needs = |path, other| Some((path, format!("it needs {other} beside it")));
    match (tls_cert, tls_key, tls_client_ca) {
        (Some(_), None, _) => needs("security.tls_cert", "--tls-key"),
        (None, Some(_), _) => needs("security.tls_key", "--tls-cert"),
        (None, None, Some(_)) => needs("security.tls_client_ca", "--tls-cert and --tls-key"),
        _ => None,
    }
}

/// Reads the files, and from then on watches them, on the runtime that this is called on.
///
/// # Errors
/// If one cannot be read or is not what it should be.
pub(super) fn open(security: &Security) -> anyhow::Result<Secured> {
    Ok(Secured { keys: open_keys(security)?, tls: open_tls(security)? })
}

fn open_keys(security: &Security) -> anyhow::Result<Option<Keys>> {
    let Some(path) = &security.api_keys else { return Ok(None) };
    let watched = Watched::new(vec![path.clone()]);
    let file = keys::read(path).context("--api-keys")?;
    if file.keys().is_empty() {
        tracing::warn!("{} has no keys: nobody is answered; whinchat key create makes one", path.display());
    }
    let keys = Keys::new(&file);
    let replaced = keys.clone();
    watched.call("API keys", move |paths| keys::read(&paths[0]).map(|file| replaced.replace(&file)));
    Ok(Some(keys))
}

fn open_tls(security: &Security) -> anyhow::Result<Option<Tls>> {
    let (Some(cert), Some(key)) = (&security.tls_cert, &security.tls_key) else { return Ok(None) };
    let watched = Watched::new([cert, key].into_iter().chain(&security.tls_client_ca).cloned().collect());
    let tls = with_files(&watched.paths, Tls::new)?;
    let replaced = tls.clone();
    watched.call("certificates", move |paths| with_files(paths, |files| replaced.replace(files)));
    Ok(Some(tls))
}

/// Says in the log where a panic was, from now on. What it says may be of a prompt: that is there at the level of traces alone.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("a panic at {place}; WHINCHAT_LOG=trace has its words, which may be a client's");
        tracing::trace!("{panic}");
    }));
}

/// Makes something of the files of a certificate, its key and perhaps the clients' authorities.
pub(super) fn with_files<T>(paths: &[PathBuf], make: impl FnOnce(&TlsFiles) -> Result<T, String>) -> anyhow::Result<T> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    let read: Vec<Vec<u8>> = paths.iter().map(read).collect::<anyhow::Result<_>>()?;
    let files = TlsFiles { chain: &read[0], key: &read[1], client_authorities: read.get(2).map(Vec::as_slice) };
    let named = || paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    make(&files).map_err(anyhow::Error::msg).with_context(|| format!("TLS with {}", named()))
}

/// Files, and how they were before they were read.
struct Watched {
    paths: Vec<PathBuf>,
    seen: Vec<Option<State>>,
}

/// By what a change of a file is seen.
type State = (Option<SystemTime>, u64);

impl Watched {
    fn new(paths: Vec<PathBuf>) -> Watched {
        let seen = states(&paths);
        Watched { paths, seen }
    }

    /// Calls `changed` after each change. If it fails, all stays as it was, and the log says why.
    fn call(mut self, what: &'static str, changed: impl Fn(&[PathBuf]) -> anyhow::Result<()> + Send + 'static) {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK);
            loop {
                ticks.tick().await;
                // The files are few and small: to look at them takes no longer than to hand that to another thread.
                let now = states(&self.paths);
                // One that is being replaced may be gone for a moment.
                if now == self.seen || now.contains(&None) {
                    continue;
                }
                match changed(&self.paths) {
                    Ok(()) => tracing::info!("{what} have changed: they count from now on"),
                    Err(e) => tracing::error!("{what} have changed and are wrong: all stays as it was: {e:#}"),
                }
                self.seen = now;
            }
        });
    }
}

fn states(paths: &[PathBuf]) -> Vec<Option<State>> {
    paths.iter().map(|path| state(path)).collect()
}

fn state(path: &Path) -> Option<State> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok(), about.len()))
}
