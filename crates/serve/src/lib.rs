//! The HTTP server: OpenAI-compatible endpoints over engines and tokenizers.
//!
//! Architecture invariant: this crate knows nothing of graphs, quantization, kernels or weight files. Inside it, `openai`
//! is the only place with wire types, `services` knows no HTTP, and `http` knows no model.

mod app;
pub mod http;
mod openai;
mod services;

pub use app::{App, SamplingDefaults, Served, State};
pub use openai::{Endpoint, parse_request_body};
pub use services::{
    Ask, Chat, Delivery, Ending, Input, Kind, Problem, PromptText, Sampling, TokenReceiver, token_channel,
};
