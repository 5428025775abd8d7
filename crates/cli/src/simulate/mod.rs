//! Replays of traces of requests against the real scheduler and KV cache, with a virtual clock.

pub mod cost;
pub mod figures;
pub mod lookups;
pub mod measure;
pub mod plot;
pub mod replay;
#[cfg(test)]
mod tests;
pub mod trace;

/// What ends a replay before it is over.
pub use anyhow::Error;
