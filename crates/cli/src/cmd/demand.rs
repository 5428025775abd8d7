//! From the settings about models that come into memory when they are asked for, and leave it again, to the server.

use anyhow::Context;
use config::{Demand, Further};
use serve::{App, KeepAlive, LoadOrder};
use whinchat::hub::Hub;

/// Sets how long models stay, before the first is there.
pub(super) fn begin(demand: &Demand, app: &App) {
    app.keep_alive(demand.keep_alive.0.parse().unwrap_or_default(), demand.keep_alive_fixed);
}

/// What is wrong with a setting here: which, and why.
pub(super) fn problem(config: &config::Config) -> Option<(&'static str, String)> {
    let wrong = |text: &str| text.parse::<KeepAlive>().err();
    let of = |further: &Further| wrong(&further.keep_alive.as_ref()?.0);
    let own = || wrong(&config.demand.keep_alive.0).map(|why| ("demand.keep_alive", why));
    let also = || config.models.iter().find_map(of).map(|why| ("models", why));
    let lazy = || config.demand.lazy.iter().find_map(of).map(|why| ("demand.lazy", why));
    own().or_else(also).or_else(lazy)
}

/// What a further model is loaded by.
pub(super) fn order(further: Further) -> LoadOrder {
    LoadOrder {
        source: further.source,
        name: Some(further.name),
        keep_alive: further.keep_alive.and_then(|time| time.0.parse().ok()),
        context: further.context,
        kv_tokens: further.kv_tokens,
        max_sequences: further.max_sequences,
        draft_model: further.draft_model,
        adapters: adapters(further.lora),
        ..LoadOrder::default()
    }
}

/// Names of adapters, and where they are.
pub(super) fn adapters(lora: Vec<config::Lora>) -> Vec<(String, String)> {
    lora.into_iter().map(|config::Lora { name, path }| (name, path)).collect()
}

/// Tells the server what it does not have in memory, and other names for what it has.
///
/// # Errors
/// If two models have the same name, or an alias is one for nothing.
pub(super) fn know(demand: Demand, app: &App) -> anyhow::Result<()> {
    for further in demand.lazy {
        let name = further.name.clone();
        app.know(order(further)).with_context(|| format!("--lazy {name}=…"))?;
    }
    let pulled = if demand.pulled { Hub::from_env().models() } else { Vec::new() };
    for model in pulled {
        let (source, name) = (model.name.clone(), Some(model.name));
        // A model that is served already keeps its name.
        let _ = app.know(LoadOrder { source, name, ..LoadOrder::default() });
    }
    for config::Alias { alias, model } in demand.aliases {
        app.alias(&alias, &model).with_context(|| format!("--model-alias {alias}={model}"))?;
    }
    Ok(())
}
