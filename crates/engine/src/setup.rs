//! What an engine is made of beside its executor: its settings, and what takes the place of its own parts.

use crate::{BlockManager, DraftModel, EngineConfig, ExecutorLimits, Managing, Policy, Scheduler};

/// Makes a manager of the blocks of a KV cache, which is empty.
pub type MakeMemory = Box<dyn FnOnce(Managing) -> Box<dyn BlockManager> + Send>;

/// The settings of an engine, and the parts that are not those that the settings name.
#[derive(Default)]
pub struct Setup {
    /// The settings.
    pub config: EngineConfig,
    /// Who runs first (`None`: as [`EngineConfig::policy`] says).
    pub policy: Option<Box<dyn Policy>>,
    /// Which blocks of the KV cache hold what (`None`: decided in this process).
    pub memory: Option<MakeMemory>,
    /// What drafts where a sequence's own text says little of what follows.
    pub draft: Option<DraftModel>,
}

impl From<EngineConfig> for Setup {
    fn from(config: EngineConfig) -> Setup {
        Setup { config, ..Setup::default() }
    }
}

impl Setup {
    /// An empty queue, for an executor with these limits.
    pub(crate) fn scheduler(self, limits: ExecutorLimits) -> Scheduler {
        let Setup { config, policy, memory, .. } = self;
        let policy = policy.unwrap_or_else(|| config.policy.policy());
        let scheduler = Scheduler::new(&config, limits, policy);
        match memory {
            Some(memory) => scheduler.with_memory(memory),
            None => scheduler,
        }
    }
}
