//! Profiles: what a use changes of the defaults, and what it refuses. And settings that contradict each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Config;

/// For which use the defaults are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    #[allow(missing_docs, reason = "the name says it")]
    #[default]
    Development,
    #[allow(missing_docs, reason = "the name says it")]
    Production,
}

impl Profile {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Development => "development",
            Profile::Production => "production",
        }
    }

    /// Settings that have another default under it.
    pub fn defaults(self) -> Vec<(&'static str, Value)> {
        match self {
            Profile::Development => Vec::new(),
            Profile::Production => vec![
                ("network.grace", json!("2m")),
                ("limits.head_timeout", json!("10s")),
                ("limits.body_timeout", json!("1m")),
                ("limits.stall_timeout", json!("30s")),
            ],
        }
    }
}

/// What is wrong with settings that are each possible: the setting that is blamed, and why.
pub(crate) fn contradictions(config: &Config) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut blame = |wrong: bool, path: &'static str, why: &str| {
        if wrong {
            found.push((path, why.to_owned()));
        }
    };
    let (model, cache) = (&config.model, &config.cache);
    let short = model.context.zip(cache.kv_tokens).is_some_and(|(context, positions)| positions < context);
    blame(short, "cache.kv_tokens", "the KV cache holds at least one sequence: it must not be less than model.context");
    let off = "nothing is kept while cache.prefixes is false; leave this out, or set that to true";
    blame(!cache.prefixes && cache.prefix_tokens.is_some(), "cache.prefix_tokens", off);
    blame(!cache.prefixes && cache.prefix_states.is_some(), "cache.prefix_states", off);
    blame(!cache.prefixes && cache.spill.is_some(), "cache.spill", off);
    blame(!cache.prefixes && cache.host.is_some(), "cache.host", off);
    let mut names: Vec<&str> = model.name.iter().map(String::as_str).collect();
    for (path, further) in [("models", &config.models), ("demand.lazy", &config.demand.lazy)] {
        for name in further.iter().map(|further| further.name.as_str()) {
            blame(names.contains(&name), path, &format!("two models have the name {name}"));
            names.push(name);
        }
    }
    let shared = config.network.hand_over.is_some() && config.storage.data_dir.is_some();
    let one = "the database in storage.data_dir is open in one server at a time, so none can take over from another: leave one out";
    blame(shared, "network.hand_over", one);
    super::routes::contradictions(config).into_iter().for_each(|why| blame(true, "demand.routes", &why));
    if config.profile == Profile::Production {
        let star = |names: &[String]| names.iter().any(|name| name == "*");
        let small = "production needs a model: the built-in one is to try things out";
        blame(model.source.is_none(), "model.source", small);
        blame(model.any_model_name, "model.any_model_name", "production answers to the names of its models alone");
        let faults = "production injects no faults: whoever is hit by one is somebody who wants an answer";
        blame(config.security.allow_faults, "security.allow_faults", faults);
        let named = "production names them: * lets every page of the web in";
        blame(star(&config.network.allowed_origins), "network.allowed_origins", named);
        blame(star(&config.network.allowed_hosts), "network.allowed_hosts", "production names them: * is everybody's");
    }
    found
}
