//! Results by what they were made from: names of files are hashes of all that decides on what is in them.

use std::path::{Path, PathBuf};

use model::Checkpoint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{Error, Statistics};

/// What a result depends on, and where it is kept.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    what: String,
    hash: Sha256,
}

/// A hash of a model's weights and numbers, wherever its files are.
pub(crate) fn of_model(checkpoint: &Checkpoint) -> [u8; 32] {
    let mut hash = Sha256::new();
    for tensor in checkpoint.tensors() {
        hash.update(format!("{} {:?} {:?}", tensor.name, tensor.dims, tensor.dtype));
        hash.update(checkpoint.bytes(tensor));
    }
    hash.update(format!(
        "{:?}",
        checkpoint.metadata().iter().filter(|(key, _)| *key != "general.name").collect::<Vec<_>>()
    ));
    checkpoint.release();
    hash.finalize().into()
}

/// A word for what was calibrated.
pub(super) fn of_statistics(statistics: &Statistics) -> String {
    let mut hash = Sha256::new();
    for (name, entry) in &statistics.entries {
        hash.update(name);
        entry.sums.iter().chain(&entry.counts).for_each(|x| hash.update(x.to_le_bytes()));
    }
    hex(&hash.finalize())
}

impl Cache {
    pub(super) fn new(folder: &Path, key: &[u8; 32]) -> Cache {
        let mut hash = Sha256::new();
        hash.update(concat!(env!("CARGO_PKG_VERSION"), " 2"));
        hash.update(key);
        Cache { folder: folder.to_owned(), what: String::new(), hash }
    }

    /// It depends on this too. The first is what the file is called.
    pub(super) fn with(mut self, what: &str) -> Cache {
        if self.what.is_empty() {
            what.clone_into(&mut self.what);
        }
        self.hash.update((what.len() as u64).to_le_bytes());
        self.hash.update(what);
        self
    }

    pub(super) fn with_tokens(mut self, chunks: &[Vec<u32>]) -> Cache {
        for chunk in chunks {
            self.hash.update((chunk.len() as u64).to_le_bytes());
            chunk.iter().for_each(|token| self.hash.update(token.to_le_bytes()));
        }
        self
    }

    /// Its file.
    pub(super) fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.{extension}", self.what, &self.hash()[..24]))
    }

    fn hash(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// The result, if it is kept and whole.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.file("json")).ok()?).ok()
    }

    /// Keeps a result; what is there is never half of one.
    pub(super) fn write<T: Serialize>(&self, result: &T) -> Result<(), Error> {
        let path = self.file("json");
        let json = serde_json::to_vec(result).map_err(|e| Error::file(&path, e.to_string()))?;
        let part = path.with_extension("part");
        std::fs::write(&part, json).and_then(|()| std::fs::rename(&part, &path)).map_err(Error::io(&path))
    }

    /// Says that a file with a name of its own is this result.
    pub(super) fn name(&self, file: &Path) -> Result<(), Error> {
        let name = self.name_of(file);
        std::fs::write(&name, self.hash()).map_err(Error::io(&name))
    }

    /// Whether a file is this result.
    pub(super) fn is_named(&self, file: &Path) -> bool {
        std::fs::read_to_string(self.name_of(file)).is_ok_and(|hash| hash == self.hash())
    }

    fn name_of(&self, file: &Path) -> PathBuf {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.folder.join(format!("{name}.made"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
