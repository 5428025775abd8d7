//! How a model is loaded, as Python says it: JSON with every field optional.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use whinchat::{
    CacheOptions, EngineConfig, Eviction, KvType, LoadOptions, PlanOptions, PolicyName, SamplingDefaults,
    TemplateChoice, WeightsCache,
};

use crate::errors;

/// How a model is loaded.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Loading {
    pub(crate) source: Option<PathBuf>,
    model: About,
    engine: Running,
    cache: Kept,
}

/// What a model is called, and how it chats.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct About {
    name: Option<String>,
    context: Option<usize>,
    chat_template: Option<PathBuf>,
    sampling_defaults: Option<String>,
    draft_model: Option<PathBuf>,
}

/// What computes, and in which order.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Running {
    threads: Option<usize>,
    pin: bool,
    max_sequences: Option<usize>,
    max_batch_tokens: Option<usize>,
    max_queue: Option<usize>,
    max_step: Option<f64>,
    draft_tokens: Option<usize>,
    policy: Option<String>,
}

/// What is kept of sequences and weights.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Kept {
    kv_tokens: Option<usize>,
    kv_type: Option<String>,
    eviction: Option<String>,
    weights_cache: Option<PathBuf>,
}

/// Reads what Python has written.
///
/// # Errors
/// If a field is unknown or of another type.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> PyResult<T> {
    serde_json::from_str(json).map_err(|error| errors::raised("InvalidRequestError", &error.to_string()))
}

/// One of a set of names.
///
/// # Errors
/// If there is no such name; the error says which there are.
pub(crate) fn named<T>(param: &str, name: &str, all: impl IntoIterator<Item = (&'static str, T)>) -> PyResult<T> {
    let mut known = Vec::new();
    for (other, value) in all {
        if other == name {
            return Ok(value);
        }
        known.push(other);
    }
    Err(errors::invalid(param, &format!("{param}: there is no {name:?}; there are {}", known.join(", "))))
}

/// A rule of eviction by its name; `none` keeps nothing.
///
/// # Errors
/// If there is no such rule.
pub(crate) fn eviction(name: &str) -> PyResult<Option<Eviction>> {
    let all = Eviction::ALL.into_iter().map(|rule| (rule.name(), Some(rule)));
    named("eviction", name, all.chain([("none", None)]))
}

/// A policy by its name.
///
/// # Errors
/// If there is no such policy.
pub(crate) fn policy(name: &str) -> PyResult<PolicyName> {
    named("policy", name, PolicyName::ALL.into_iter().map(|policy| (policy.name(), policy)))
}

/// A time from seconds.
///
/// # Errors
/// If it is none.
pub(crate) fn seconds(param: &str, value: f64) -> PyResult<Duration> {
    let time = Duration::try_from_secs_f64(value).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| errors::invalid(param, &format!("{param}: {value} is no number of seconds above 0")))
}

impl Loading {
    /// As the library takes it.
    ///
    /// # Errors
    /// If a name is unknown or a template cannot be read.
    pub(crate) fn options(&self) -> PyResult<LoadOptions> {
        let Loading { model, engine, cache, .. } = self;
        let template = model.chat_template.as_ref().map(TemplateChoice::open).transpose();
        let whose = [("llama.cpp", SamplingDefaults::LlamaCpp), ("openai", SamplingDefaults::OpenAi)];
        let defaults = model.sampling_defaults.as_deref().map(|name| named("sampling_defaults", name, whose));
        let kv_types = || KvType::all().map(|kv_type| (kv_type.name(), kv_type));
        let kv_type = cache.kv_type.as_deref().map(|name| named("kv_type", name, kv_types())).transpose()?;
        Ok(LoadOptions {
            name: model.name.clone(),
            sampling_defaults: defaults.transpose()?,
            chat_template: template.map_err(|error| errors::of_load(&error))?,
            context: model.context,
            threads: engine.threads,
            pin: engine.pin,
            max_sequences: engine.max_sequences,
            max_batch_tokens: engine.max_batch_tokens,
            cache: CacheOptions {
                kv_tokens: cache.kv_tokens,
                kv_type: kv_type.unwrap_or_default(),
                weights: cache.weights_cache.clone().map_or_else(WeightsCache::default, WeightsCache::from),
                ..CacheOptions::default()
            },
            draft_model: model.draft_model.clone(),
            plan: PlanOptions::default(),
            engine: self.engine_config()?,
        })
    }

    fn engine_config(&self) -> PyResult<EngineConfig> {
        let (own, Running { max_queue, max_step, policy: name, .. }) = (EngineConfig::default(), &self.engine);
        let rule = self.cache.eviction.as_deref().map(eviction).transpose()?;
        Ok(EngineConfig {
            max_queue: max_queue.unwrap_or(own.max_queue),
            max_draft: self.engine.draft_tokens.unwrap_or(own.max_draft),
            max_step: max_step.map(|time| seconds("max_step", time)).transpose()?,
            policy: name.as_deref().map(policy).transpose()?.unwrap_or(own.policy),
            prefix_cache: rule.unwrap_or(own.prefix_cache),
            ..own
        })
    }
}
