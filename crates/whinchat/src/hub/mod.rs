//! Models from the Hugging Face hub, in its own cache layout, with resume and checksums.
//!
//! Layout (huggingface_hub's documentation, "Understand caching"): `models--org--name/` holds `blobs/` by checksum,
//! `snapshots/<commit>/<file>` as links to blobs, and `refs/<revision>` with the commit.

mod cache;
mod download;
mod select;

use std::path::PathBuf;

use crate::Progress;

/// A model on the hub: `org/name`, or `org/name:file` with a file's name or a part of it such as `Q8_0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    repo: String,
    file: Option<String>,
}

impl ModelId {
    /// `None` if `text` is no hub id but can only be a path.
    pub fn parse(text: &str) -> Option<ModelId> {
        let (repo, file) = match text.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (text, None),
        };
        let (org, name) = repo.split_once('/')?;
        let plain = |s: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !s.is_empty() && !s.starts_with('.') && s.chars().all(allowed)
        };
        let fits = plain(org) && plain(name) && file.is_none_or(|f| !f.is_empty());
        let a_path = file.is_none() && (text.ends_with(".gguf") || text.ends_with(".safetensors"));
        (fits && !a_path).then(|| ModelId { repo: repo.to_owned(), file: file.map(str::to_owned) })
    }
}

impl std::fmt::Display for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.repo)?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
    }
}

/// Where the hub is and where its files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// `https://huggingface.co`, or a mirror.
    pub endpoint: String,
    /// Sent to the endpoint only.
    pub token: Option<String>,
    /// The folder with `models--org--name` folders.
    pub cache: PathBuf,
    /// Use only what is in the cache.
    pub offline: bool,
}

impl Hub {
    /// From `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_CACHE`, `HF_HOME` and `HF_HUB_OFFLINE`, as huggingface_hub reads them.
    #[expect(
        clippy::disallowed_methods,
        reason = "these variables are shared with other programs, and the library reads them too"
    )]
    pub fn from_env() -> Hub {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || var("HOME").or_else(|| var("USERPROFILE")).map(PathBuf::from).unwrap_or_default();
        let hf = var("HF_HOME").map_or_else(|| home().join(".cache/huggingface"), PathBuf::from);
        let saved = || std::fs::read_to_string(hf.join("token")).ok().map(|token| token.trim().to_owned());
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Hub {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: var("HF_TOKEN").or_else(saved).filter(|token| !token.is_empty()),
            cache: var("HF_HUB_CACHE").map_or_else(|| hf.join("hub"), PathBuf::from),
            offline: var("HF_HUB_OFFLINE")
                .is_some_and(|v| matches!(v.to_lowercase().as_str(), "1" | "true" | "yes" | "on")),
        }
    }

    /// The path of `id`'s files, downloaded if the cache lacks them: a GGUF file or a folder with safetensors.
    ///
    /// # Errors
    /// If the hub or the repository cannot be reached, has no file that fits, or gives wrong bytes.
    pub fn fetch(&self, id: &ModelId, progress: Progress) -> Result<PathBuf, HubError> {
        let repo = cache::Repo::new(&self.cache, &id.repo);
        if self.offline {
            return repo.cached(id).ok_or_else(|| HubError::Offline { id: id.to_string(), cache: self.cache.clone() });
        }
        let listing = match self.listing(id) {
            Ok(listing) => listing,
            Err(error @ HubError::Unreachable { .. }) => return repo.cached(id).ok_or(error),
            Err(error) => return Err(error),
        };
        let names: Vec<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
        let wanted = select::select(id, &names)?;
        let files: Vec<_> = listing.files.iter().filter(|file| wanted.files.contains(&file.name.as_str())).collect();
        self.download(&repo, &listing.commit, &files, progress)?;
        repo.point_to(&listing.commit)?;
        Ok(repo.snapshot(&listing.commit).join(wanted.open.unwrap_or_default()))
    }
}

/// A repository's commit and files.
pub(crate) struct Listing {
    commit: String,
    files: Vec<RemoteFile>,
}

/// A file of a repository.
pub(crate) struct RemoteFile {
    name: String,
    size: u64,
    /// The name of its blob: its SHA-256 if it is large (LFS), else its git hash.
    blob: String,
    sha256: Option<String>,
}

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The endpoint did not answer.
    #[error("cannot reach {endpoint} for {id}: {why}; check the network, or give a path to a file that exists")]
    Unreachable {
        /// The model.
        id: String,
        /// The endpoint.
        endpoint: String,
        /// What failed.
        why: String,
    },
    /// The endpoint said no.
    #[error(
        "{endpoint} has no {id} for you (HTTP {status}): no file of that name is here either; check the spelling, or set HF_TOKEN if the model is gated or private"
    )]
    Refused {
        /// The model.
        id: String,
        /// The endpoint.
        endpoint: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer makes no sense.
    #[error("{id}: the hub's answer cannot be used: {why}")]
    Answer {
        /// The model.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// No file fits.
    #[error("{id}: {why}")]
    NoFile {
        /// The model.
        id: String,
        /// What there is and how to ask for it.
        why: String,
    },
    /// The bytes are not those the hub promised.
    #[error("{file}: the download has SHA-256 {got}, the hub promises {wanted}; it was removed, try again")]
    Checksum {
        /// The file.
        file: String,
        /// Computed.
        got: String,
        /// Promised.
        wanted: String,
    },
    /// Offline, and the cache has it not.
    #[error("{id} is not in {} and HF_HUB_OFFLINE is set", cache.display())]
    Offline {
        /// The model.
        id: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The cache cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl HubError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> HubError + use<> {
        let path = path.to_owned();
        move |source| HubError::Io { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_paths_are_told_apart() {
        let check = |text: &str, wanted: Option<(&str, Option<&str>)>| {
            let id = ModelId::parse(text);
            assert_eq!(id.as_ref().map(|id| (id.repo.as_str(), id.file.as_deref())), wanted, "{text}");
        };
        check("org/name", Some(("org/name", None)));
        check("org/name:file.gguf", Some(("org/name", Some("file.gguf"))));
        check("org/name:Q8_0", Some(("org/name", Some("Q8_0"))));
        check("models/file.gguf", None);
        check("./org/name", None);
        check("../name", None);
        check("a/b/c", None);
        check("/etc/passwd", None);
        check("name", None);
        check("org/", None);
        check("org/name:", None);
    }
}
