//! A name for what a model computes and how its memories are laid out: who has another one cannot use what was saved of them.

use graph::{Graph, Limits};
use sha2::{Digest, Sha256};

/// Bytes of each weight that count, at its beginning, its middle and its end: another training changes all of them.
const SAMPLE: usize = 1024;

/// Fills while a model is loaded.
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Of the graph's memories, as `limits` lays them out.
    pub(crate) fn new(graph: &Graph, limits: &Limits) -> Fingerprint {
        let layout = format!("{:?} {:?} {}", graph.memory(), limits.kv_type, limits.block_len);
        Fingerprint(Sha256::new_with_prefix(layout))
    }

    /// And of the next weight, by its [`sample`].
    pub(crate) fn weight(&mut self, sample: &[u8; 32]) {
        self.0.update(sample);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// What stands for a weight's bytes.
pub(crate) fn sample(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(bytes.len().to_le_bytes());
    for start in [0, bytes.len() / 2, bytes.len().saturating_sub(SAMPLE)] {
        let sample = &bytes[start..];
        hash.update(&sample[..sample.len().min(SAMPLE)]);
    }
    hash.finalize().into()
}
