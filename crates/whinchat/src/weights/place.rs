//! Where files of packed weights are, and whether one pays.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use kernels::Isa;
use model::Checkpoint;
use sha2::{Digest, Sha256};

use super::WeightsCache;

/// What their names end with.
pub(crate) const ENDING: &str = ".packed";

/// What the names of files with kernels that tuning found end with.
pub(crate) const TUNED_ENDING: &str = ".kernels.json";

/// Weights of fewer bytes are packed about as fast as mapped.
const LEAST: u64 = 64 << 20;

/// Where the file of a model may be, best first.
pub(super) fn paths(cache: &WeightsCache, checkpoint: &Checkpoint, isa: Isa) -> Vec<PathBuf> {
    places(cache, checkpoint, isa, ENDING)
}

/// Where the kernels that tuning found for a model may be, best first: beside its packed weights.
pub(crate) fn tuned_paths(cache: &WeightsCache, checkpoint: &Checkpoint, isa: Isa) -> Vec<PathBuf> {
    places(cache, checkpoint, isa, TUNED_ENDING)
}

fn places(cache: &WeightsCache, checkpoint: &Checkpoint, isa: Isa, ending: &str) -> Vec<PathBuf> {
    // A model in memory has no files whose content could be known again.
    let files = checkpoint.files();
    let Some(file) = files.first().filter(|file| file.is_file()) else { return vec![] };
    let ending = format!(".{}{ending}", format!("{isa:?}").to_lowercase());
    let inside = |folder: &Path| {
        let path = file.canonicalize().unwrap_or_else(|_| file.clone());
        let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        folder.join(with(file.file_name(), &format!(".{hash}{ending}")))
    };
    match cache {
        WeightsCache::Off => vec![],
        WeightsCache::Folder(folder) => vec![inside(folder)],
        WeightsCache::Auto | WeightsCache::On => {
            let beside = file.with_file_name(with(file.file_name(), &ending));
            [beside].into_iter().chain(users_folder("weights").map(|folder| inside(&folder))).collect()
        }
    }
}

/// The file that has a model's packed weights, for the instruction set of this machine, and its size; it may be out of date.
pub(crate) fn path_of(cache: &WeightsCache, checkpoint: &Checkpoint) -> Option<(PathBuf, u64)> {
    let paths = paths(cache, checkpoint, Isa::detect()).into_iter();
    paths.filter_map(|path| std::fs::metadata(&path).ok().map(|found| (path, found.len()))).next()
}

fn with(name: Option<&OsStr>, ending: &str) -> std::ffi::OsString {
    let mut name = name.unwrap_or_default().to_owned();
    name.push(ending);
    name
}

/// A folder of ours in the user's cache folder.
pub(crate) fn users_folder(name: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("whinchat").join(name))
}

/// Whether so many bytes should be kept at `path`: packing them takes time, and what is written neither presses other things out of
/// the memory nor fills the disk.
pub(super) fn pays(bytes: u64, available: Option<u64>, path: &Path) -> bool {
    let enough = |left: u64| left / 2 >= bytes;
    bytes >= LEAST && available.is_none_or(enough) && free_on_disk(path).is_none_or(enough)
}

/// What is free where `path` would be, if the system says it.
#[cfg(unix)]
fn free_on_disk(path: &Path) -> Option<u64> {
    let there = path.ancestors().skip(1).find(|folder| folder.is_dir())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_on_disk(_: &Path) -> Option<u64> {
    None
}
