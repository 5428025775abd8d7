//! The cache folder of one repository.

use std::fs;
use std::path::{Path, PathBuf};

use super::{HubError, ModelId, select};

/// `models--org--name` in the cache.
pub(super) struct Repo {
    id: String,
    root: PathBuf,
}

impl Repo {
    pub(super) fn new(cache: &Path, repo: &str) -> Repo {
        Repo { id: repo.to_owned(), root: cache.join(format!("models--{}", repo.replace('/', "--"))) }
    }

    /// `org/name`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, name: &str) -> PathBuf {
        self.root.join("blobs").join(name)
    }

    /// Remembers that `revision` is at `commit`.
    pub(super) fn point_to(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let file = self.root.join("refs").join(revision);
        create_parent(&file)?;
        fs::write(&file, commit).map_err(HubError::io(&file))
    }

    /// What the cache has of `id` at the commit seen last, if it is a whole model.
    pub(super) fn cached(&self, id: &ModelId) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.root.join("refs").join(id.revision())).ok()?;
        let folder = self.snapshot(commit.trim());
        let mut names = Vec::new();
        list(&folder, "", &mut names);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let selection = select::select(id, &names).ok()?;
        let path = folder.join(selection.open.unwrap_or_default());
        path.exists().then_some(path)
    }

    /// Makes `snapshots/<commit>/<name>` stand for a blob: a link, or a copy where the system has no links.
    pub(super) fn link(&self, commit: &str, name: &str, blob: &str) -> Result<(), HubError> {
        let link = self.snapshot(commit).join(name);
        if link.exists() {
            return Ok(());
        }
        create_parent(&link)?;
        let up = "../".repeat(2 + name.matches('/').count());
        let _ = fs::remove_file(&link);
        #[cfg(unix)]
        let made = std::os::unix::fs::symlink(format!("{up}blobs/{blob}"), &link);
        #[cfg(not(unix))]
        let made =
            fs::hard_link(self.blob(blob), &link).or_else(|_| fs::copy(self.blob(blob), &link).map(|_| drop(up)));
        match made {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(HubError::io(&link)(e)),
            _ => Ok(()),
        }
    }
}

pub(super) fn create_parent(file: &Path) -> Result<(), HubError> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(HubError::io(folder))
}

/// Adds the names of all files below a folder.
pub(super) fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}
