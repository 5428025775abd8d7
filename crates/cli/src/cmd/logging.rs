//! What is logged, to stderr; it can be changed while the program runs.

use std::io::IsTerminal;

use anyhow::Context as _;
use config::Log;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes what is logged.
pub(super) struct Logging(reload::Handle<EnvFilter, Registry>);

/// From now on it is logged.
///
/// # Errors
/// If the filter is none, or something logs already.
pub(super) fn start(log: &Log) -> anyhow::Result<Logging> {
    let (filter, handle) = reload::Layer::new(filter(log).map_err(anyhow::Error::msg)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("cannot log")?;
    Ok(Logging(handle))
}

impl Logging {
    /// From now on this is logged.
    pub(super) fn change(&self, log: &Log) {
        if let Ok(filter) = filter(log) {
            // It fails only when nothing is logged any more.
            let _ = self.0.reload(filter);
        }
    }
}

/// What is wrong with a filter, if anything is.
pub(super) fn problem(log: &Log) -> Option<(&'static str, String)> {
    filter(log).err().map(|why| ("log.filter", why))
}

fn filter(log: &Log) -> Result<EnvFilter, String> {
    let usual = if log.quiet { "warn" } else { "info" };
    let text = log.filter.as_deref().unwrap_or(usual);
    let expected = "expected error, warn, info, debug or trace, or such for parts, as serve=debug,info";
    EnvFilter::try_new(text).map_err(|_| format!("{text:?}: {expected}"))
}
