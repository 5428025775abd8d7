//! The settings, by section. A field's documentation is its help; what `schemars(extend(…))` adds:
//! `x-flag` the flag's name where it is not the key's, `x-short` a letter for it, `x-value` what stands for its value in help,
//! `x-reload = "live"` that a running server takes it over, `x-secret` that it is never shown. A section with `x-prefix` puts that
//! before the names of its flags and variables.

mod engine;
mod limits;
mod model;
mod names;
mod network;
mod profile;
mod routes;
mod security;
mod services;
mod telemetry;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use engine::{Cache, Engine};
pub use limits::Limits;
pub use model::{Alias, Demand, Further, Lora, Model, Whose};
pub use names::{Eviction, HostEviction, KvType, Policy, Promotion};
pub use network::{Log, Network, Storage};
pub use profile::Profile;
pub(crate) use profile::contradictions;
pub use routes::{AssignedBy, BalanceBy, ReleaseMargins, ReleasePlan, ReleaseStage, Route, RoutePolicy, Variant};
pub use security::Security;
pub use services::Services;
pub use telemetry::Telemetry;

/// Everything that can be said to `whinchat serve`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Config {
    /// For which use the defaults are: development, or production, which waits longer for open answers when it ends, is less
    /// patient with slow clients, and refuses what is only for trying things out.
    pub profile: Profile,
    /// The model that answers where a request names none.
    #[garde(dive)]
    pub model: Model,
    /// A further model, served beside the first under a name of its own, once or several times. They share the threads.
    #[garde(dive)]
    #[schemars(extend("x-flag" = "also", "x-value" = "NAME=MODEL"))]
    pub models: Vec<Further>,
    /// Models that come into memory when they are asked for, and how long they stay.
    #[garde(dive)]
    pub demand: Demand,
    /// Who runs when, and on which threads.
    #[garde(dive)]
    pub engine: Engine,
    /// The memory of sequences, what is kept of earlier ones, and packed weights.
    #[garde(dive)]
    pub cache: Cache,
    /// Where it listens, and to whom.
    #[garde(dive)]
    pub network: Network,
    /// Who is answered, and over what.
    #[garde(dive)]
    pub security: Security,
    /// What a client may take of the server: time, bytes and connections.
    #[garde(dive)]
    pub limits: Limits,
    /// What is kept, and where.
    #[garde(dive)]
    pub storage: Storage,
    /// Who is told what happens, besides whoever asks.
    #[garde(dive)]
    pub telemetry: Telemetry,
    /// What it says.
    #[garde(dive)]
    pub log: Log,
}
