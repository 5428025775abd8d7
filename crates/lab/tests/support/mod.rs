//! What the lab's tests share: fixtures, random numbers, and small models.
#![allow(dead_code)]

use std::path::PathBuf;

/// A fixture's path.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A fixture of F32 numbers.
pub(crate) fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Numbers between -1 and 1, the same for a seed.
pub(crate) fn uniform(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    (0..count).map(|_| graph::testing::uniform(&mut state)).collect()
}
