//! Stages of the pipeline that are elsewhere.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Period;

/// Where the first model's prompts are made into tokens, its sequences scheduled, its blocks managed and its batches computed, if not in
/// this process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Services {
    /// Have prompts made into tokens by the whinchat service tokenizer at this address, of the same model [default: in this process]
    #[schemars(extend("x-value" = "URL"))]
    pub tokenizer: Option<String>,
    /// Have sequences ordered by the whinchat service scheduler at this address; by its policy, if --policy says nothing else [default:
    /// in this process]
    #[schemars(extend("x-value" = "URL"))]
    pub scheduler: Option<String>,
    /// Have the blocks of the KV cache managed by the whinchat service memory at this address; by its rule, if --eviction says nothing
    /// else [default: in this process]
    #[schemars(extend("x-value" = "URL"))]
    pub memory: Option<String>,
    /// Have batches computed by the whinchat service compute at this address, of the same model, or, with the word process, by a process
    /// of this server's own beside it, over shared memory [default: in this process]
    #[schemars(extend("x-value" = "URL|process"))]
    pub compute: Option<String>,
    /// How long a service may take to answer. After that it counts as lost: what depends on the answer ends with an error [default: 30s,
    /// and 10m for a batch]
    #[garde(inner(custom(some_time)))]
    #[schemars(extend("x-flag" = "service-timeout"))]
    pub timeout: Option<Period>,
}

fn some_time(period: &Period, (): &()) -> garde::Result {
    if period.0.is_zero() { Err(garde::Error::new("expected more than 0s")) } else { Ok(()) }
}
