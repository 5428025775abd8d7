//! From the settings about who runs when, and on what memory, to those of the engine.

use std::time::Duration;

use super::replicas;
use config::Config;
use whinchat::{CacheOptions, EngineConfig, GpuLayers, HostMemory, KernelSetting, Spill};

/// What is kept of sequences and of weights.
pub(super) fn cache(cache: &config::Cache) -> CacheOptions {
    CacheOptions {
        kv_tokens: cache.kv_tokens,
        kv_type: cache.kv_type.0,
        state_bytes: cache.prefix_states.map(|size| size.0),
        spill: cache.spill.clone().map(|path| Spill { path, bytes: cache.spill_size.0 }),
        host: cache.host.map(|size| HostMemory {
            bytes: size.0,
            rule: cache.host_eviction.0,
            promotion: cache.promotion.0,
        }),
        weights: cache.weights.clone().into(),
    }
}

/// What is wrong with a setting here: which, and why.
pub(super) fn problem(config: &Config) -> Option<(&'static str, String)> {
    if let Err(why) = replicas::devices(config) {
        return Some(("model.device", why.to_string()));
    }
    if let Some(Err(why)) = config.model.gpu_layers.as_deref().map(str::parse::<GpuLayers>) {
        return Some(("model.gpu_layers", why));
    }
    let why = config.engine.kernels.iter().find_map(|text| text.parse::<KernelSetting>().err())?;
    Some(("engine.kernels", why))
}

/// The settings of the engine.
pub(super) fn engine(config: &Config) -> EngineConfig {
    let (engine, cache) = (&config.engine, &config.cache);
    EngineConfig {
        max_step: engine.max_step_ms.map(Duration::from_millis),
        max_draft: engine.draft_tokens,
        max_queue: engine.max_queue,
        max_queue_tokens: engine.max_queue_tokens,
        policy: engine.policy.0,
        prefix_tokens: cache.prefix_tokens,
        prefix_cache: Some(cache.eviction.0).filter(|_| cache.prefixes),
        ..EngineConfig::default()
    }
}
