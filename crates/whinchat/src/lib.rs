//! Whinchat serves language models. This is the library: load a model, generate text, blocking or as a stream.
//!
//! ```no_run
//! let model = whinchat::Model::builtin()?; // or Model::load("model.gguf"), Model::load("org/name")
//! println!("{}", model.answer("Who are you?", &whinchat::GenerateOptions::default())?);
//! # Ok::<(), whinchat::Error>(())
//! ```
//!
//! Many requests at once, with priorities and time limits, as they end; the same can be awaited on any runtime:
//!
//! ```no_run
//! use whinchat::{Cancel, GenerateOptions, InferRequest, Inference, Priority};
//!
//! let model = whinchat::Model::builtin()?;
//! let request = |text: &str| InferRequest::new(GenerateOptions::max_tokens(32).ask(model.input(text)));
//! let requests = [
//!     request("Who are you?").with_metadata("question", "who"),
//!     request("What is a whinchat?").with_priority(Priority::High),
//! ];
//! for (place, inference) in model.blocking().infer_batch(requests, &Cancel::new()) {
//!     match inference {
//!         Inference::Success(done) => println!("{place}: {} {:?}", done.answers[0].text, done.metadata),
//!         Inference::Cancelled(part) => println!("{place}: cancelled after {} tokens", part.generated_tokens),
//!         Inference::TimedOut(_, why) | Inference::Failed(_, why) => println!("{place}: {why}"),
//!     }
//! }
//! # Ok::<(), whinchat::Error>(())
//! ```
//!
//! Answers that fit a JSON schema, a regular expression, a choice or a grammar:
//!
//! ```no_run
//! use whinchat::{Cancel, Constrained, Constraint, GenerateOptions, InferRequest, Inference};
//!
//! let model = whinchat::Model::builtin()?;
//! let mut ask = GenerateOptions::max_tokens(64).ask(model.input("Is a whinchat a bird?"));
//! let constraint = Constraint::JsonSchema(serde_json::json!({ "enum": ["yes", "no"] }));
//! ask.constrained = Some(Constrained { constraint, param: "answer".into() });
//! if let Inference::Success(done) = model.blocking().infer(InferRequest::new(ask), &Cancel::new()) {
//!     println!("{}", done.answers[0].text);
//! }
//! # Ok::<(), whinchat::Error>(())
//! ```
//!
//! Architecture invariant: the only place where model files, a backend and an engine meet. No command line, no
//! terminal and no server are in it.

mod adapters;
pub mod bounds;
mod builtin;
mod device;
mod draft;
mod error;
mod fingerprint;
mod generate;
#[cfg_attr(not(feature = "gpu"), path = "gpu_none.rs")]
mod gpu;
pub mod hub;
mod load;
pub mod machine;
mod memory;
mod pipeline;
mod place;
mod plan;
mod reading;
mod sampling;
mod spill;
mod stages;
mod template;
mod tiers;
mod vocab;
mod weights;

pub use answer::{
    Adapter, Answer, Ask, Blocking, Cancel, Chat, Constrained, Ending, Event, Generation, InferBatch, InferRequest,
    Inference, Inferred, Input, Kind, LoadedModel, Pooling, Priority, Problem, PromptText, Reason, Sampling, Service,
    ToolCall, ToolDelta, Usage,
};
pub use builtin::{BUILTIN, builtin};
pub use device::{Device, DeviceInfo, GpuLayers, HAS_GPU, Unit, UnknownDevice, devices, gpu_conversions};
pub use draft::MTP;
pub use engine::{
    EngineConfig, Eviction, LevelRule, Observer, Policy, PolicyName, Promotion, RestoreError, SavedPrefix,
};
pub use error::Error;
pub use generate::{GenerateOptions, Model};
pub use graph::KvType;
pub use kernels::{Cpu, Machine, Tuning};
pub use load::{BLOCK_LEN, CacheOptions, LoadOptions, Prepared, Progress, locate, open, prepare};
pub use memory::{Memory, kv_bytes_per_token};
pub use place::Placed;
pub use plan::{
    Cost, Found, KernelRule, KernelSetting, PlanOptions, PlanQuery, ProfileOptions, Shape, Tuned, Workbench,
    machine_json,
};
pub use sampling::SamplingDefaults;
pub use spill::Spill;
pub use stages::{MakeEncoder, Stages};
pub use template::{TemplateChoice, TemplateOrigin};
pub use text::Constraint;
pub use tiers::HostMemory;
pub use vocab::{tokenizer, tokenizer_of_file};
pub use weights::{WeightsCache, WeightsOrigin};
