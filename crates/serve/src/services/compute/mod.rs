//! The computation manager that stands alone: batches to logits. Both ends; what goes between them is the engine's own form of bytes, which
//! is only carried here.

mod client;
mod service;

pub use client::HttpCourier;
pub use service::ComputeService;

/// Where messages go.
const MESSAGES: &str = "/message";
