//! What an operator may say to a server. The structs of [`Config`] are the one description of every setting: its key in the file,
//! its environment variable, its flag, its place in the JSON Schema and its row in the documents are all made from it.
//!
//! Architecture invariant: this crate reads no files and no environment, and knows neither a command line's parser nor a server.
//! Text and variables are passed in; what becomes of the settings is others' business.

mod compare;
mod expected;
mod layers;
mod page;
mod problem;
mod resolve;
mod sections;
mod setting;
mod show;
mod tree;
mod units;

pub use compare::{Change, changes};
pub use page::markdown;
pub use problem::{File, Origin, Problem, Problems};
pub use resolve::{Resolved, Sources, resolve};
pub use sections::{
    Alias, AssignedBy, BalanceBy, Cache, Config, Demand, Engine, Eviction, Further, HostEviction, KvType, Limits, Log,
    Lora, Model, Network, Policy, Profile, Promotion, ReleaseMargins, ReleasePlan, ReleaseStage, Route, RoutePolicy,
    Security, Services, Storage, Telemetry, Variant, Whose,
};
pub use setting::{Setting, schema, settings};
pub use show::{json, yaml};
pub use units::{Period, Size, Stay};
