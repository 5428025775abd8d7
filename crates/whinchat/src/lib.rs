//! Whinchat serves language models. This is the library: load a model, generate text, blocking or as a stream.
//!
//! ```no_run
//! let model = whinchat::Model::builtin()?; // or Model::load("model.gguf"), Model::load("org/name")
//! println!("{}", model.answer("Who are you?", &whinchat::GenerateOptions::default())?);
//! # Ok::<(), whinchat::Error>(())
//! ```
//!
//! Architecture invariant: the only place where model files, a backend and an engine meet. No command line, no
//! terminal and no server are in it.

mod answers;
pub mod bounds;
mod builtin;
mod error;
mod generate;
pub mod hub;
mod load;
pub mod machine;
mod memory;
mod sampling;
mod template;
mod vocab;

pub use answer::{
    Answer, Ask, Chat, Ending, Event, Generation, Input, LoadedModel, Pooling, PromptText, Reason, Sampling, ToolCall,
    ToolDelta, Usage,
};
pub use answers::Answers;
pub use builtin::{BUILTIN, builtin};
pub use engine::{EngineConfig, Eviction, Observer, PolicyName};
pub use error::Error;
pub use generate::{GenerateOptions, Model};
pub use graph::KvType;
pub use kernels::Cpu;
pub use load::{BLOCK_LEN, LoadOptions, Prepared, Progress, locate, open, prepare};
pub use memory::{Memory, kv_bytes_per_token};
pub use sampling::SamplingDefaults;
pub use template::{TemplateChoice, TemplateOrigin};
pub use vocab::{tokenizer, tokenizer_of_file};
