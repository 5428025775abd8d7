//! What stands for weights and for their contents: hashes by SHA-256.

use graph::WeightInfo;
use model::{Checkpoint, FileIdentity};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// 32 bytes that stand for something longer.
pub(crate) type Hash = [u8; 32];

/// Bytes that are hashed as one: long contents are hashed on all cores.
const PIECE: usize = 1 << 20;

/// Tensors of which a part counts, and the length of that part.
const SAMPLES: (usize, usize) = (64, 1024);

/// What a weight's packed bytes depend on besides the content of its tensors.
pub(super) fn key(packing: &str, info: &WeightInfo, origin: &str) -> Hash {
    let WeightInfo { shape, dtype, role, .. } = info;
    Sha256::digest(format!("{packing} {shape:?} {dtype} {role:?} {origin}")).into()
}

/// A key and the files that the weight is read from.
pub(super) fn everywhere(key: &Hash, files: &[FileIdentity]) -> Hash {
    Sha256::new_with_prefix(key).chain_update(format!("{files:?}")).finalize().into()
}

/// Of all the bytes.
pub(super) fn content(bytes: &[u8]) -> Hash {
    let pieces: Vec<Hash> = bytes.par_chunks(PIECE).map(|piece| Sha256::digest(piece).into()).collect();
    Sha256::digest(pieces.as_flattened()).into()
}

/// Of every tensor's name, type, size and place, and of some bytes of 64 tensors: another training changes all of them.
pub(super) fn sample(checkpoint: &Checkpoint) -> Hash {
    let (count, len) = SAMPLES;
    let tensors = checkpoint.tensors();
    let mut hash = Sha256::new();
    tensors.iter().for_each(|tensor| hash.update(format!("{tensor:?}")));
    for tensor in tensors.iter().step_by(tensors.len().div_ceil(count).max(1)) {
        let bytes = checkpoint.bytes(tensor);
        let middle = &bytes[bytes.len() / 2..];
        hash.update(&middle[..middle.len().min(len)]);
    }
    hash.finalize().into()
}
