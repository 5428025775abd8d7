//! A file of packed weights that an earlier start kept.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use graph::WeightInfo;
use kernels::{PackedFile, Weight};
use rayon::prelude::*;

use super::index::{Entry, Index, MadeOf};
use super::{Hash, Held};

/// Bytes with a checksum of their own, so that all cores compare.
const PIECE: usize = 4 << 20;

/// An undamaged file.
pub(super) struct Kept {
    pub(super) path: PathBuf,
    file: PackedFile,
    index: Index,
    places: HashMap<Hash, usize>,
}

impl Kept {
    /// Opens the file at `path`; `None` if there is none, it is damaged, or was made for others.
    pub(super) fn open(path: PathBuf, wanted: &MadeOf) -> Option<Kept> {
        // Asked before opening, because opening a named pipe waits for a writer.
        if !std::fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let file = PackedFile::map(&File::open(&path).ok()?).ok()?;
        let index = Index::of(file.bytes())?;
        if !index.made_of.fits(wanted) || !index.weights.par_iter().all(|entry| is_undamaged(file.bytes(), entry)) {
            return None;
        }
        let places = index.weights.iter().enumerate().map(|(place, entry)| (entry.key, place)).collect();
        Some(Kept { path, file, index, places })
    }

    /// Whether it was made of just these files, as far as their times, lengths and samples tell.
    pub(super) fn is_of(&self, wanted: &MadeOf) -> bool {
        self.index.made_of == *wanted
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> u64 {
        self.file.bytes().len() as u64
    }

    /// The hash of what the weight was packed of.
    pub(super) fn content(&self, key: &Hash) -> Option<&Hash> {
        Some(&self.entry(key)?.content)
    }

    /// The weight of that key.
    pub(super) fn weight(&self, info: &WeightInfo, key: &Hash) -> Option<Held> {
        let Entry { start, bytes, sample, .. } = self.entry(key)?;
        let weight = Weight::mapped(info, &self.file, &(*start..start + bytes))?;
        Some(Held { weight: Arc::new(weight), sample: *sample })
    }

    /// Says in the file that it is of `made_of` too, whose content was compared. A wish: where it cannot be written, the next start
    /// compares again. What others have mapped does not change, as the new index follows the old one.
    pub(super) fn confirm(&self, made_of: MadeOf) {
        let index = Index { made_of, weights: self.index.weights.clone() };
        let Ok(bytes) = index.to_bytes(self.len()) else { return };
        // In one call, so that two processes that do this at a time do not mix. Should the file be another by now, its weights'
        // checksums are others, and it is made anew.
        let _ = OpenOptions::new().append(true).open(&self.path).and_then(|mut file| file.write_all(&bytes));
    }

    fn entry(&self, key: &Hash) -> Option<&Entry> {
        self.index.weights.get(*self.places.get(key)?)
    }
}

/// Checksums of the pieces of a weight's bytes.
pub(super) fn checks(bytes: &[u8]) -> Vec<u32> {
    bytes.par_chunks(PIECE).map(crc32fast::hash).collect()
}

fn is_undamaged(file: &[u8], entry: &Entry) -> bool {
    let bytes = entry.start.checked_add(entry.bytes).and_then(|end| file.get(entry.start..end));
    bytes.is_some_and(|bytes| checks(bytes) == entry.checks)
}
