//! What the cache has: listed, and taken out of it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::cache::{Repo, list};
use super::{Hub, HubError, ModelId, select};
use crate::weights::{ENDING, TUNED_ENDING};

/// A model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedModel {
    /// What to give as a model: `org/name`, or `org/name:file` of a GGUF file.
    pub name: String,
    /// Bytes of its files, all parts of a split.
    pub bytes: u64,
    /// The file or folder to open.
    pub path: PathBuf,
}

impl Hub {
    /// Every whole model in the cache, by name.
    pub fn models(&self) -> Vec<CachedModel> {
        let mut models: Vec<CachedModel> = self.repos().iter().flat_map(models_of).collect();
        models.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        models
    }

    /// The whole model in the cache that `name` means: `org/name`, `org/name:file` or a short name.
    pub fn pulled(&self, name: &str) -> Option<CachedModel> {
        let id = self.parse(name)?;
        let path = Repo::new(&self.cache, &id.repo).cached(&id)?;
        self.models().into_iter().find(|model| model.path == path)
    }

    /// Removes a model's files from the cache: those of `org/name:file`, or all of `org/name`. Gives the bytes that are free
    /// then.
    ///
    /// # Errors
    /// If the cache does not have it, or a file cannot be removed.
    pub fn remove(&self, id: &ModelId) -> Result<u64, HubError> {
        let repo = Repo::new(&self.cache, &id.repo);
        let absent = || HubError::Absent { id: id.to_string(), cache: self.cache.clone() };
        if !repo.root().is_dir() {
            return Err(absent());
        }
        let before = size(&repo.root().join("blobs"));
        if id.file.is_none() {
            let packed = snapshots(&repo).into_iter().flat_map(|folder| packed(&folder, ""));
            let all = before + packed.map(|(_, bytes)| bytes).sum::<u64>();
            fs::remove_dir_all(repo.root()).map_err(HubError::io(repo.root()))?;
            return Ok(all);
        }
        let (mut removed, mut also) = (false, 0);
        for folder in snapshots(&repo) {
            let names = names(&folder);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            for file in select::select(id, &names).into_iter().flat_map(|selection| selection.files) {
                for (path, bytes) in packed(&folder, &format!("{file}.")) {
                    fs::remove_file(&path).map_err(HubError::io(&path))?;
                    also += bytes;
                }
                let path = folder.join(file);
                fs::remove_file(&path).map_err(HubError::io(&path))?;
                removed = true;
            }
        }
        if !removed {
            return Err(absent());
        }
        sweep(&repo)?;
        Ok(also + before.saturating_sub(size(&repo.root().join("blobs"))))
    }

    fn repos(&self) -> Vec<Repo> {
        let repo = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let (org, name) = name.strip_prefix("models--")?.split_once("--")?;
            Some(Repo::new(&self.cache, &format!("{org}/{name}")))
        };
        fs::read_dir(&self.cache).into_iter().flatten().flatten().filter_map(repo).collect()
    }
}

/// The models of a repository, of its main branch if that is there.
fn models_of(repo: &Repo) -> Vec<CachedModel> {
    let main = fs::read_to_string(repo.root().join("refs/main")).ok().map(|commit| repo.snapshot(commit.trim()));
    let folders = main.map_or_else(|| snapshots(repo), |folder| vec![folder]);
    let of = |folder: &PathBuf| {
        let names = names(folder);
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| folder.join(name).exists()).collect();
        let firsts = names.iter().filter(|name| select::begins(name)).map(|name| Some((*name).to_owned()));
        let found = |file: Option<String>| {
            let id = ModelId { repo: repo.id().to_owned(), file, revision: None };
            let selection = select::select(&id, &names).ok()?;
            // A folder is a model only with its configuration.
            if selection.open.is_none() && !names.contains(&"config.json") {
                return None;
            }
            let bytes = selection.files.iter().filter_map(|file| fs::metadata(folder.join(file)).ok());
            Some(CachedModel {
                name: if selection.open.is_some() { id.to_string() } else { repo.id().to_owned() },
                bytes: bytes.map(|file| file.len()).sum(),
                path: folder.join(selection.open.unwrap_or_default()),
            })
        };
        let whole = names.iter().any(|name| name.ends_with(".safetensors")).then_some(None);
        firsts.chain(whole).filter_map(found).collect::<Vec<_>>()
    };
    folders.iter().flat_map(of).collect()
}

fn snapshots(repo: &Repo) -> Vec<PathBuf> {
    let entries = fs::read_dir(repo.root().join("snapshots")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The files of packed weights, and of kernels that were found for them, in a folder whose names begin so, and their sizes.
fn packed(folder: &Path, beginning: &str) -> Vec<(PathBuf, u64)> {
    let names = names(folder).into_iter();
    let packed = names.filter(|name| {
        name.starts_with(beginning) && [ENDING, TUNED_ENDING].iter().any(|ending| name.ends_with(ending))
    });
    packed
        .map(|name| folder.join(name))
        .filter_map(|path| fs::metadata(&path).ok().map(|file| (path, file.len())))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    list(folder, "", &mut names);
    names
}

/// Removes blobs that no snapshot has any more.
fn sweep(repo: &Repo) -> Result<(), HubError> {
    let linked = |folder: PathBuf| {
        let target = |name: String| fs::canonicalize(folder.join(name)).ok();
        names(&folder).into_iter().filter_map(target).collect::<Vec<_>>()
    };
    let kept: HashSet<PathBuf> = snapshots(repo).into_iter().flat_map(linked).collect();
    for entry in fs::read_dir(repo.root().join("blobs")).into_iter().flatten().flatten() {
        let path = entry.path();
        if fs::canonicalize(&path).is_ok_and(|path| !kept.contains(&path)) {
            fs::remove_file(&path).map_err(HubError::io(&path))?;
        }
    }
    Ok(())
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
