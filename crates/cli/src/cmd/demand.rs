//! The options of `serve` about models that come into memory when they are asked for, and leave it again.

use std::ffi::OsString;

use anyhow::Context;
use clap::Args;
use serve::{App, KeepAlive, LoadOrder};
use whinchat::hub::Hub;

use super::serve::named;

/// Which models are known, and how long they stay in memory.
#[derive(Args, Default)]
pub(super) struct DemandArgs {
    /// A further model that is loaded when a request first names it, once or several times.
    #[arg(long, value_name = "NAME=MODEL", value_parser = named)]
    lazy: Vec<(String, OsString)>,
    /// Serve every model that was pulled (whinchat list), loaded when a request first names it.
    #[arg(long)]
    pulled: bool,
    /// Another name for a model that is served, or for a version as NAME@VERSION, once or several times.
    #[arg(long, value_name = "ALIAS=NAME", value_parser = named)]
    model_alias: Vec<(String, OsString)>,
    /// How long a model stays in memory after its last answer: 5m, 1h30m, a number of seconds, 0, or -1 for ever. It is loaded
    /// again when it is asked for.
    #[arg(long, value_name = "DURATION", default_value = "-1", allow_hyphen_values = true)]
    keep_alive: KeepAlive,
    /// Do not let requests change how long models stay in memory (keep_alive in Ollama's API).
    #[arg(long)]
    keep_alive_fixed: bool,
}

impl DemandArgs {
    /// Sets how long models stay, before the first is there.
    pub(super) fn begin(&self, app: &App) {
        app.keep_alive(self.keep_alive, self.keep_alive_fixed);
    }

    /// Whether a request may name any model that was pulled.
    pub(super) fn pulled(&self) -> bool {
        self.pulled
    }

    /// Tells the server what it does not have in memory, and other names for what it has.
    ///
    /// # Errors
    /// If two models have the same name, or an alias is one for nothing.
    pub(super) fn know(&self, app: &App) -> anyhow::Result<()> {
        let order =
            |name: &str, source: String| LoadOrder { source, name: Some(name.to_owned()), ..LoadOrder::default() };
        for (name, source) in &self.lazy {
            let source = source.to_string_lossy().into_owned();
            app.know(order(name, source)).with_context(|| format!("--lazy {name}=…"))?;
        }
        let pulled = if self.pulled { Hub::from_env().models() } else { Vec::new() };
        for model in pulled {
            // A model that is served already keeps its name.
            let _ = app.know(order(&model.name, model.name.clone()));
        }
        for (alias, name) in &self.model_alias {
            let name = name.to_string_lossy();
            app.alias(alias, &name).with_context(|| format!("--model-alias {alias}={name}"))?;
        }
        Ok(())
    }
}
