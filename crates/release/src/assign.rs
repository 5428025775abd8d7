//! Who meets which variant: a hash of the unit and the experiment's salt.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is assigned as one: all requests of a unit meet the same variant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A conversation.
    Session,
    /// The user that a client names.
    User,
    /// The key that a client shows.
    Key,
    /// Each request by itself.
    #[default]
    Request,
}

/// Where a unit is between 0 and 1, by a hash (SHA-256) that stays the same between versions and machines.
///
/// A candidate with the share `s` gets the units below `s`: a larger share only adds units. Another salt gives places that have nothing to do
/// with these.
pub fn point(salt: &str, unit: &str) -> f64 {
    // 53 bits are what a float tells apart.
    (hash(salt, unit) >> 11) as f64 / (1u64 << 53) as f64
}

/// The first 64 bits of the hash of a unit.
pub(crate) fn hash(salt: &str, unit: &str) -> u64 {
    // The length keeps ("ab", "c") and ("a", "bc") apart.
    let digest = Sha256::new().chain_update((salt.len() as u64).to_le_bytes()).chain_update(salt).chain_update(unit);
    digest.finalize().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// A hash of a hash and a number, for ranks of targets.
pub(crate) fn mix(hash: u64, number: u64) -> u64 {
    // The finalizer of splitmix64.
    let mut z = hash ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
