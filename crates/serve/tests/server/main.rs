//! The server as clients see it: over HTTP on port 0, with a real engine and tokenizer and a made-up model.

mod access;
mod adapters;
mod answers;
mod anthropic;
#[cfg(feature = "batches")]
mod batches;
mod cancellation;
mod client;
mod demand;
mod described;
mod dialects;
mod documentation;
mod embeddings;
mod errors;
mod faults;
mod fields;
mod handover;
mod keys;
mod lifecycle;
mod live;
mod logs;
mod memory;
mod metrics;
mod model;
mod models;
mod ollama;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(feature = "batches")]
mod owners;
mod page;
mod plans;
mod python;
mod rank;
mod releases;
mod responses;
mod routes;
mod sessions;
mod shadows;
mod specification;
mod streams;
mod structured;
mod support;
mod swaps;
mod telemetry;
mod telemetry_stream;
mod tls;
mod tokens;
mod tools;
mod versions;
