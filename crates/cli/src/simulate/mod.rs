//! Replays of traces of requests against the real scheduler and KV cache, with a virtual clock.

pub(crate) mod cost;
pub(crate) mod figures;
pub(crate) mod lookups;
pub(crate) mod measure;
pub(crate) mod plot;
pub(crate) mod replay;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
