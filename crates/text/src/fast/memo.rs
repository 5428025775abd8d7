//! What pieces became before: a table of bounded size, one for each thread that encodes.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::bpe::Scratch;

/// Pieces longer than this are not remembered: each then fits one comparison of 16 bytes.
pub(super) const LONGEST: usize = 15;
/// Pieces that are remembered.
const SLOTS: usize = 1 << 16;
/// Places that a piece may have.
const WAYS: usize = 4;
/// Ids of pieces of more than three that are kept; then all is forgotten.
const SPILLED: usize = 1 << 18;

/// A piece in two words and its ids in two more: up to three, or where more of them are.
type Slot = [u64; 4];

/// Pieces and their ids, and memory for the work on one.
#[derive(Debug)]
pub(crate) struct Memo {
    slots: Vec<Slot>,
    spilled: Vec<u32>,
    hits: u64,
    misses: u64,
    /// For the work on one piece.
    pub(super) scratch: Scratch,
}

/// A piece as the table knows it.
#[derive(Clone, Copy)]
pub(super) struct Key([u64; 2]);

impl Key {
    /// The bytes in `range` of `text`; `None` if they are too many.
    #[inline]
    pub(super) fn new(text: &[u8], range: Range<usize>) -> Option<Key> {
        let len = range.len();
        if len > LONGEST {
            return None;
        }
        let bytes: [u8; 16] = match text.get(range.start..range.start + 16).and_then(|bytes| bytes.first_chunk()) {
            Some(bytes) => *bytes,
            None => {
                let mut bytes = [0; 16];
                bytes[..len].copy_from_slice(&text[range]);
                bytes
            }
        };
        let bits = u128::from_le_bytes(bytes) & ((1 << (8 * len)) - 1) | (len as u128) << 120;
        Some(Key([bits as u64, (bits >> 64) as u64]))
    }

    fn slot(self) -> usize {
        // Two odd numbers without a pattern: both halves of the product depend on all bits of the key.
        let product = u128::from(self.0[0] ^ 0x9E37_79B9_7F4A_7C15) * u128::from(self.0[1] ^ 0xD1B5_4A32_D192_ED03);
        ((product >> 64) as usize ^ product as usize) & (SLOTS - 1) & !(WAYS - 1)
    }
}

impl Memo {
    /// Remembers nothing yet.
    pub(crate) fn new() -> Memo {
        // Zeroed pages take no memory until they are written to.
        Memo { slots: vec![[0; 4]; SLOTS], spilled: Vec::new(), hits: 0, misses: 0, scratch: Scratch::default() }
    }

    /// Appends the ids of a piece, if it is remembered.
    #[inline]
    pub(super) fn recall(&mut self, key: Key, out: &mut Vec<u32>) -> bool {
        let first = key.slot();
        let found = self.slots[first..first + WAYS].iter().find(|slot| slot[..2] == key.0);
        let Some(&[_, _, low, high]) = found else {
            self.misses += 1;
            return false;
        };
        self.hits += 1;
        let ids = [low as u32, (low >> 32) as u32, high as u32];
        match (high >> 32) as usize {
            1 => out.push(ids[0]),
            count @ ..=3 => out.extend_from_slice(&ids[..count]),
            count => out.extend_from_slice(&self.spilled[ids[0] as usize..ids[0] as usize + count]),
        }
        true
    }

    /// Remembers the ids of a piece.
    pub(super) fn learn(&mut self, key: Key, ids: &[u32]) {
        if self.spilled.len() + ids.len() > SPILLED {
            self.spilled.clear();
            self.slots.fill([0; 4]);
        }
        let inline = |at: usize| u64::from(ids.get(at).copied().unwrap_or(0));
        let low = if ids.len() > 3 { self.spilled.len() as u64 } else { inline(0) | inline(1) << 32 };
        let high = if ids.len() > 3 { 0 } else { inline(2) };
        if ids.len() > 3 {
            self.spilled.extend_from_slice(ids);
        }
        let first = key.slot();
        let group = &mut self.slots[first..first + WAYS];
        let at = group
            .iter()
            .position(|slot| slot[..2] == [0; 2])
            .unwrap_or(ids.first().map_or(0, |id| *id as usize % WAYS));
        group[at] = [key.0[0], key.0[1], low, high | (ids.len() as u64) << 32];
    }
}

/// The tables that no thread uses now, and how often those that were used knew a piece.
#[derive(Debug, Default)]
pub(crate) struct Memos {
    idle: Mutex<Vec<Memo>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Memos {
    /// Does `work` with a table; at most `keep` are kept for later.
    pub(crate) fn with<T>(&self, keep: usize, work: impl FnOnce(&mut Memo) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle().pop();
        let mut memo = found.unwrap_or_else(Memo::new);
        let done = work(&mut memo);
        self.hits.fetch_add(std::mem::take(&mut memo.hits), Ordering::Relaxed);
        self.misses.fetch_add(std::mem::take(&mut memo.misses), Ordering::Relaxed);
        let mut idle = idle();
        if idle.len() < keep {
            idle.push(memo);
        }
        done
    }

    /// Pieces that were remembered and pieces that were not, since the last [`Memos::reset`].
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Counts anew. What is remembered stays.
    pub(crate) fn reset(&self) {
        [&self.hits, &self.misses].iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_recalled() {
        let mut memo = Memo::new();
        let key = |text: &str| Key::new(text.as_bytes(), 0..text.len()).expect("short");
        let pieces: Vec<(String, Vec<u32>)> =
            (0..5000u32).map(|i| (format!("p{i}"), (0..i % 7).map(|n| n * i).collect())).collect();
        pieces.iter().for_each(|(text, ids)| memo.learn(key(text), ids));
        let mut known = 0;
        for (text, ids) in &pieces {
            let mut out = vec![9];
            if memo.recall(key(text), &mut out) {
                known += 1;
                assert_eq!(out[1..], **ids, "{text}");
            }
            assert_eq!(out[0], 9);
        }
        assert!(known > 4900, "{known}");
        assert!(!memo.recall(key("p"), &mut Vec::new()) && !memo.recall(key("p1\0"), &mut Vec::new()));
        assert_eq!((memo.hits, memo.misses), (known, 5000 - known + 2));
    }

    #[test]
    fn keys_are_of_the_range_alone() {
        let text = "abcdefghijklmnopqrstuvwxyz".as_bytes();
        let check = |a: Range<usize>, b: &[u8]| {
            assert_eq!(Key::new(text, a.clone()).map(|key| key.0), Key::new(b, 0..b.len()).map(|key| key.0), "{a:?}");
        };
        check(0..3, b"abc");
        check(0..15, b"abcdefghijklmno");
        check(25..26, b"z");
        check(0..16, b"abcdefghijklmnop");
        assert!(Key::new(text, 0..16).is_none());
    }

    #[test]
    fn it_never_grows_without_bound() {
        let mut memo = Memo::new();
        for i in 0..200_000u32 {
            let text = i.to_string();
            memo.learn(Key::new(text.as_bytes(), 0..text.len()).expect("short"), &[i, i, i, i]);
        }
        assert!(memo.spilled.len() <= SPILLED && memo.slots.len() == SLOTS);
        let mut out = Vec::new();
        assert!(memo.recall(Key::new(b"199999", 0..6).expect("short"), &mut out));
        assert_eq!(out, [199_999; 4]);
    }
}
