//! The HTTP server: OpenAI-compatible endpoints over engines and tokenizers.
//!
//! Architecture invariant: this crate knows nothing of graphs, quantization, kernels or weight files.

mod app;
pub mod http;

pub use app::{App, SamplingDefaults, Served};
