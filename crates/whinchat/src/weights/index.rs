//! What a file of packed weights says of itself. It stands at the end, behind the weights: an index as JSON, and 64 bytes that say where
//! it begins, how long it is and what its hash is. So a file that is cut anywhere has none.

use kernels::{Isa, Weight};
use model::Checkpoint;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hash::{self, Hash};

/// The first of the last 64 bytes.
const MAGIC: [u8; 16] = *b"whinchat packed\n";
const TAIL: usize = 64;

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) made_of: MadeOf,
    pub(super) weights: Vec<Entry>,
}

/// What weights were made of, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MadeOf {
    /// Of the program: another one may read a model otherwise.
    pub(super) version: String,
    /// See [`Weight::packing`].
    pub(super) packing: String,
    /// Length and time of each file. Neither its path nor its number count: both change where a model is copied with its cache.
    files: Vec<(u64, u64)>,
    /// See [`hash::sample`].
    sample: Hash,
}

/// A weight in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// See [`hash::key`].
    pub(super) key: Hash,
    /// Of the bytes that it was packed of.
    pub(super) content: Hash,
    /// See [`crate::fingerprint::sample`].
    pub(super) sample: Hash,
    pub(super) start: usize,
    pub(super) bytes: usize,
    /// Checksums of its pieces; see [`super::file::checks`].
    pub(super) checks: Vec<u32>,
}

impl MadeOf {
    pub(super) fn new(checkpoint: &Checkpoint, isa: Isa) -> MadeOf {
        let files = checkpoint.identities().unwrap_or_default();
        MadeOf {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            packing: Weight::packing(isa),
            files: files.iter().map(|file| (file.bytes, file.modified)).collect(),
            sample: hash::sample(checkpoint),
        }
    }

    /// Whether who wants one can use what was made for the other, if the content is the same.
    pub(super) fn fits(&self, other: &MadeOf) -> bool {
        self.version == other.version && self.packing == other.packing
    }
}

impl Index {
    /// The end of a file that begins here.
    pub(super) fn to_bytes(&self, start: u64) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let (len, hash) = (bytes.len() as u64, Sha256::digest(&bytes));
        bytes.extend(MAGIC);
        bytes.extend(start.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(hash);
        Ok(bytes)
    }

    /// Of a whole file; `None` if it is none.
    pub(super) fn of(file: &[u8]) -> Option<Index> {
        let (before, tail) = file.split_at(file.len().checked_sub(TAIL)?);
        let (magic, rest) = tail.split_at(MAGIC.len());
        let (numbers, hash) = rest.split_at(16);
        let number = |at: usize| usize::try_from(u64::from_le_bytes(*numbers[at..].first_chunk()?)).ok();
        let (start, len) = (number(0)?, number(8)?);
        let bytes = before.get(start..start.checked_add(len)?)?;
        let sound = magic == MAGIC && Sha256::digest(bytes)[..] == *hash;
        sound.then(|| serde_json::from_slice(bytes).ok())?
    }
}
