//! How weights come into memory: those that another model of this process has are shared, those that a file has packed are mapped, and
//! the others are packed, and kept in a file for the next start where that pays.

mod file;
mod hash;
mod index;
mod place;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use graph::{Backend, Graph, WeightId, WeightInfo};
use kernels::{Cpu, Isa, Weight};
use model::{Checkpoint, Model as Bound};

use crate::{Error, Progress};
use file::Kept;
pub(crate) use hash::Hash;
#[cfg(feature = "gpu")]
pub(crate) use place::users_folder;
pub(crate) use place::{ENDING, TUNED_ENDING, path_of, tuned_paths};
use writer::Keeper;

/// Whether packed weights are kept in a file for later starts, which map it instead of packing anew, and share its pages with every
/// other process that does.
///
/// The file is used if it was made of this content, for this instruction set and by this version, and is undamaged; else it is made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WeightsCache {
    /// Where it pays: for weights of 64 MiB or more, with twice their size left of the memory and on the disk. Beside the model's
    /// first file, or in the user's cache folder if that cannot be written (`XDG_CACHE_HOME`, `~/.cache`).
    #[default]
    Auto,
    /// At the same places, for every model.
    On,
    /// Nothing is kept and nothing that was kept is used.
    Off,
    /// In this folder, for every model; it is made if it is not there.
    Folder(PathBuf),
}

/// The word `auto`, `on` or `off`, else a folder.
impl From<PathBuf> for WeightsCache {
    fn from(value: PathBuf) -> WeightsCache {
        match value.to_str() {
            Some("auto") => WeightsCache::Auto,
            Some("on") => WeightsCache::On,
            Some("off") => WeightsCache::Off,
            _ => WeightsCache::Folder(value),
        }
    }
}

/// Where the weights of a model come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightsOrigin {
    /// They were packed.
    Packed,
    /// They were packed, and are kept for the next start.
    Kept {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// They were packed, and could not be kept.
    NotKept(
        /// Why.
        String,
    ),
    /// They are mapped from a file that an earlier start kept.
    Mapped {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// They are not in this process: the model is computed elsewhere.
    Elsewhere,
    /// They are those of another model of this process.
    Shared,
}

/// A model whose weights are wanted.
pub(crate) struct Wanted<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) model: &'a Bound,
    /// Its weights are those of the model.
    pub(crate) graph: &'a Graph,
    pub(crate) cache: &'a WeightsCache,
    /// What is left of the memory.
    pub(crate) available: Option<u64>,
}

/// A weight in memory.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) weight: Arc<Weight>,
    /// See [`crate::fingerprint::sample`].
    pub(crate) sample: Hash,
}

/// The name of a weight.
struct Named<'a> {
    id: WeightId,
    info: &'a WeightInfo,
    /// What its packed bytes depend on besides the content of the files.
    key: Hash,
    /// That and the files themselves; `None` if these are in memory.
    everywhere: Option<Hash>,
}

/// Every weight, in the graph's order, and where they come from.
pub(crate) struct Brought {
    pub(crate) all: Vec<Held>,
    pub(crate) origin: WeightsOrigin,
}

impl Wanted<'_> {
    /// Brings the weights into memory.
    ///
    /// # Errors
    /// If the memory is short or the files give wrong data. That nothing can be kept is none.
    pub(crate) fn bring(&self, cpu: &Cpu, progress: Progress) -> Result<Brought, Error> {
        let named = self.named(cpu.isa());
        let mut found: Vec<_> = named.iter().map(|weight| shared::get(weight.everywhere)).collect();
        let shared = found.iter().flatten().count();
        let kept = if shared == found.len() { None } else { self.kept(&named, cpu.isa())? };
        let mut keeper = Keeper::none();
        if let Some(kept) = &kept {
            let missing = found.iter_mut().zip(&named).filter(|(held, _)| held.is_none());
            missing.for_each(|(held, weight)| *held = kept.weight(weight.info, &weight.key));
        } else if shared == 0 {
            keeper = self.keeper(cpu.isa());
        }
        let size = |weight: &Named| weight.info.bytes().unwrap_or_default() as u64;
        let (mut done, total) = (0, named.iter().map(size).sum());
        let mut all = Vec::with_capacity(named.len());
        for (weight, held) in named.iter().zip(found) {
            let held = held.map_or_else(|| self.pack(weight, cpu, &mut keeper), Ok)?;
            shared::put(weight.everywhere, &held);
            all.push(held);
            done += size(weight);
            progress("loading", done, total);
        }
        let origin = match kept {
            _ if shared == all.len() => WeightsOrigin::Shared,
            Some(kept) => WeightsOrigin::Mapped { bytes: kept.len(), path: kept.path },
            None => keeper.finish(),
        };
        Ok(Brought { all, origin })
    }

    /// Bytes of weights, as in their files, that another model of this process has in memory.
    pub(crate) fn shared_bytes(&self) -> u64 {
        let all = self.named(Isa::detect()).into_iter();
        let shared = all.filter(|weight| shared::get(weight.everywhere).is_some());
        shared.filter_map(|weight| weight.info.bytes()).map(|bytes| bytes as u64).sum()
    }

    fn named(&self, isa: Isa) -> Vec<Named<'_>> {
        let (packing, files) = (Weight::packing(isa), self.checkpoint.identities());
        let name = |id| {
            let info = self.graph.weight(id);
            let key = hash::key(&packing, info, &self.model.origin(id));
            Named { id, info, key, everywhere: files.as_ref().map(|files| hash::everywhere(&key, files)) }
        };
        self.graph.weight_ids().map(name).collect()
    }

    /// A file with these weights, if there is one that is sound.
    fn kept(&self, named: &[Named], isa: Isa) -> Result<Option<Kept>, Error> {
        for path in place::paths(self.cache, self.checkpoint, isa) {
            if !path.exists() {
                continue;
            }
            let made_of = index::MadeOf::new(self.checkpoint, isa);
            let Some(kept) = Kept::open(path, &made_of) else { continue };
            if kept.is_of(&made_of) {
                return Ok(Some(kept));
            }
            if self.has_same_content(&kept, named)? {
                kept.confirm(made_of);
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    /// Compares the whole content: the files may have been copied or touched.
    fn has_same_content(&self, kept: &Kept, named: &[Named]) -> Result<bool, Error> {
        let mut any = false;
        for weight in named {
            let Some(content) = kept.content(&weight.key) else { continue };
            any = true;
            if *content != hash::content(&self.model.read(weight.id)?) {
                return Ok(false);
            }
            self.checkpoint.release();
        }
        Ok(any)
    }

    /// What keeps the weights that will be packed, if it pays.
    fn keeper(&self, isa: Isa) -> Keeper {
        let bytes = self.graph.weights().iter().filter_map(WeightInfo::bytes).map(|bytes| bytes as u64).sum();
        let pays = |path: &PathBuf| *self.cache != WeightsCache::Auto || place::pays(bytes, self.available, path);
        let paths = place::paths(self.cache, self.checkpoint, isa).into_iter().filter(pays);
        Keeper::first_of(paths, || index::MadeOf::new(self.checkpoint, isa))
    }

    fn pack(&self, weight: &Named, cpu: &Cpu, keeper: &mut Keeper) -> Result<Held, Error> {
        let bytes = self.model.read(weight.id)?;
        let sample = crate::fingerprint::sample(&bytes);
        let held = Held { weight: Arc::new(cpu.upload(weight.info, &bytes)?), sample };
        keeper.put(weight.key, &held, &bytes);
        drop(bytes);
        self.checkpoint.release();
        Ok(held)
    }
}
