//! One request's pipeline: [`LoadedModel::begin`] turns an [`Ask`] into a [`Generation`], a stream of [`Event`]s. It renders the
//! chat template, tokenizes, resolves the sampling settings, submits to the engine, and turns tokens back into text,
//! reasoning and tool calls. The stream is polled: iterate over it to block, await [`Generation::next`] on any runtime.
//! Dropping it cancels.
//!
//! Architecture invariant: this crate knows nothing of HTTP, of any API's JSON, of async runtimes or of weight files.

mod adapters;
mod ask;
mod choice;
mod constraint;
mod embed;
mod generation;
mod infer;
mod judge;
mod mask;
mod model;
mod pipeline;
mod prepare;
mod problem;
mod queue;
mod reading;
mod sampling;
mod session;
mod steering;
mod whole;

pub use adapters::{NamedAdapter, OpenAdapter};
pub use ask::{Ask, Chat, Ending, Input, PromptText, Service};
pub use constraint::{Constrained, ToolChoice};
pub use embed::{Embedder, MakeEncoder, normalized};
pub use engine::{Adapter, Pooling, Priority, Xtc};
pub use generation::{Event, Generation, Reason, Relay, Tally, Usage};
pub use infer::{Blocking, Cancel, InferBatch, InferRequest, Inference, Inferred};
pub use judge::{Pair, PairTokens};
pub use model::{LoadedModel, ModelInfo};
pub use pipeline::{PromptToken, TokenLogprob, TokenText};
pub use problem::{Kind, Problem};
pub use reading::{Reading, Scoring, TextTokens};
pub use sampling::{Guards, Sampling};
pub use steering::{DrySettings, Steering};
pub use text::{Constraint, ToolDelta};
pub use whole::{Answer, ToolCall};
