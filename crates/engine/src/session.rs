//! What the cache has of a prefix, taken out of it and put back: sessions that outlive their blocks, and processes.

use std::sync::Arc;

use graph::MemoryPart;
use sha2::{Digest, Sha256};

use crate::{Engine, Executor};

/// What was computed of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedPrefix {
    /// Of which model, in which form ([`Executor::fingerprint`]).
    pub fingerprint: [u8; 32],
    /// With whom it is shared.
    pub salt: Option<Arc<str>>,
    /// Its tokens: whole blocks.
    pub tokens: Vec<u32>,
    /// What its blocks hold, in order.
    pub blocks: Vec<Vec<u8>>,
    /// The state after it, of models with recurrent layers.
    pub state: Option<Vec<u8>>,
}

/// Why a prefix cannot be put back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The file is none, or was damaged.
    #[error("it is damaged or no session")]
    Damaged,
    /// It is another model's, or of other settings of the KV cache.
    #[error("it is of another model, or of a KV cache of another type")]
    OtherModel,
    /// There is no room.
    #[error("it has {needed} blocks, but only {free} of the KV cache are free, or kept for later requests at most")]
    NoRoom {
        /// Blocks of the prefix.
        needed: usize,
        /// Blocks that it can have.
        free: usize,
    },
}

const MAGIC: &[u8; 8] = b"whinses1";

impl SavedPrefix {
    /// As the bytes of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut put = |bytes: &[u8]| {
            body.extend((bytes.len() as u64).to_le_bytes());
            body.extend(bytes);
        };
        put(&self.fingerprint);
        put(&[u8::from(self.salt.is_some()), u8::from(self.state.is_some())]);
        put(self.salt.as_deref().unwrap_or_default().as_bytes());
        put(&self.tokens.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>());
        put(self.state.as_deref().unwrap_or_default());
        self.blocks.iter().for_each(|block| put(block));
        [&MAGIC[..], &Sha256::digest(&body), &body].concat()
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// If they are not those of one.
    pub fn from_bytes(bytes: &[u8]) -> Result<SavedPrefix, RestoreError> {
        SavedPrefix::read(bytes).ok_or(RestoreError::Damaged)
    }

    fn read(bytes: &[u8]) -> Option<SavedPrefix> {
        let (sum, mut body) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
        if Sha256::digest(body)[..] != *sum {
            return None;
        }
        let mut take = || {
            let (length, rest) = body.split_first_chunk()?;
            let (taken, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            body = rest;
            Some(taken)
        };
        let fingerprint = take()?.try_into().ok()?;
        let &[salted, stateful] = take()?.first_chunk()?;
        let salt = std::str::from_utf8(take()?).ok()?;
        let tokens = take()?.as_chunks().0.iter().map(|token| u32::from_le_bytes(*token)).collect();
        let state = take()?.to_vec();
        let blocks = std::iter::from_fn(|| take().map(<[u8]>::to_vec)).collect();
        let (salt, state) = ((salted > 0).then(|| salt.into()), (stateful > 0).then_some(state));
        Some(SavedPrefix { fingerprint, salt, tokens, blocks, state })
    }
}

impl<E: Executor> Engine<E> {
    /// What the cache has of these tokens; `None` if it has nothing, or the executor cannot tell it.
    pub fn save_prefix(&mut self, tokens: &[u32], salt: Option<Arc<str>>) -> Option<SavedPrefix> {
        let cache = self.scheduler.cache();
        // The last token is a prefix's too.
        let padded = [tokens, &[0]].concat();
        let found = cache.resume(&[], salt.as_deref(), &padded);
        let mut save = |part| {
            let mut bytes = Vec::new();
            self.executor.save(part, &mut bytes).then_some(bytes)
        };
        let blocks: Option<Vec<Vec<u8>>> =
            found.blocks.iter().map(|block| save(MemoryPart::Block(block.index()))).collect();
        let blocks = blocks.filter(|blocks| !blocks.is_empty())?;
        let state = found.state.map(|slot| save(MemoryPart::State(slot)).ok_or(())).transpose().ok()?;
        let tokens = tokens[..blocks.len() * cache.block_len()].to_vec();
        Some(SavedPrefix { fingerprint: self.executor.fingerprint(), salt, tokens, blocks, state })
    }

    /// Puts a prefix back into the cache, as if it had just been computed; gives its tokens.
    ///
    /// # Errors
    /// If it is not of this model, or there is no room.
    pub fn restore_prefix(&mut self, saved: &SavedPrefix) -> Result<usize, RestoreError> {
        let len = self.scheduler.cache().block_len();
        let fits = saved.tokens.len() == saved.blocks.len() * len && saved.fingerprint == self.executor.fingerprint();
        if !fits || saved.state.is_some() != self.scheduler.cache().is_recurrent() {
            return Err(RestoreError::OtherModel);
        }
        let salt = saved.salt.as_deref();
        let mut table = self.scheduler.cache().find(&[], salt, &[&saved.tokens[..], &[0]].concat());
        let before = table.len();
        let (needed, free) = (saved.blocks.len() - before, self.scheduler.cache().room());
        if needed > free {
            return Err(RestoreError::NoRoom { needed, free });
        }
        for bytes in &saved.blocks[before..] {
            let block = self.scheduler.cache().blocks().allocate();
            let block = block.ok_or(RestoreError::NoRoom { needed, free })?;
            self.spill();
            if !self.executor.load(MemoryPart::Block(block.index()), bytes) {
                return Err(RestoreError::OtherModel);
            }
            table.push(block);
        }
        let cache = self.scheduler.cache();
        let shared = cache.share(&mut table, (before, saved.tokens.len()), salt, &saved.tokens);
        let last = table.last().filter(|_| shared == table.len());
        if let (Some(bytes), Some(last)) = (&saved.state, last) {
            let slot = self.scheduler.spare_slot().ok_or(RestoreError::NoRoom { needed: 1, free: 0 })?;
            let last = last.clone();
            self.spill();
            if !self.executor.load(MemoryPart::State(slot.index()), bytes) {
                return Err(RestoreError::OtherModel);
            }
            self.scheduler.cache().keep_state(&last, slot);
        }
        Ok(shared * len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_or_not_at_all() {
        let saved = SavedPrefix {
            fingerprint: [7; 32],
            salt: Some("me".into()),
            tokens: vec![1, 2, 3, 70_000],
            blocks: vec![vec![1; 40], vec![], vec![2; 3]],
            state: Some(vec![9; 5]),
        };
        for saved in [SavedPrefix { salt: None, state: None, ..saved.clone() }, SavedPrefix::default(), saved] {
            let bytes = saved.to_bytes();
            assert_eq!(SavedPrefix::from_bytes(&bytes), Ok(saved));
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert_eq!(SavedPrefix::from_bytes(&damaged), Err(RestoreError::Damaged), "byte {at}");
                assert_eq!(SavedPrefix::from_bytes(&bytes[..at]), Err(RestoreError::Damaged), "{at} bytes");
            }
        }
    }
}
