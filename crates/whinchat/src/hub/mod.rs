//! Models from the Hugging Face hub, in its own cache layout, with resume and checksums.
//!
//! Layout (huggingface_hub's documentation, "Understand caching"): `models--org--name/` holds `blobs/` by checksum,
//! `snapshots/<commit>/<file>` as links to blobs, and `refs/<revision>` with the commit.

mod cache;
mod client;
mod download;
mod error;
mod id;
mod local;
mod select;
mod short_names;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::error::HubError;
pub use self::id::ModelId;
pub use self::local::CachedModel;
use crate::Progress;

/// Where the hub is and where its files are kept.
///
/// A proxy is taken from `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY` (`http`, `socks4`, `socks4a`, `socks5` and `socks5h`), but
/// not for the hosts in `NO_PROXY`.
#[derive(Clone, Debug)]
pub struct Hub {
    /// `https://huggingface.co`, or a mirror.
    pub endpoint: String,
    /// Sent to the endpoint only.
    pub token: Option<String>,
    /// The folder with `models--org--name` folders.
    pub cache: PathBuf,
    /// Use only what is in the cache.
    pub offline: bool,
    /// How long it is waited for.
    pub patience: Patience,
}

/// How long the hub is waited for.
#[derive(Clone)]
pub struct Patience {
    /// When no byte comes for so long, the line counts as broken (default 30 s).
    pub stall: Duration,
    /// A hub that wants not to be asked for longer than this is not waited for, but reported (default 60 s).
    pub longest_wait: Duration,
    /// Waits.
    pub wait: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl Default for Patience {
    #[expect(clippy::disallowed_methods, reason = "the hub says how long; there is no event to wait for")]
    fn default() -> Patience {
        let wait = Arc::new(std::thread::sleep);
        Patience { stall: Duration::from_secs(30), longest_wait: Duration::from_secs(60), wait }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("stall", &self.stall).field("longest_wait", &self.longest_wait).finish()
    }
}

impl Hub {
    /// From `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_CACHE`, `HF_HOME` and `HF_HUB_OFFLINE`, as huggingface_hub reads them.
    pub fn from_env() -> Hub {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
        let home = || var("HOME").or_else(|| var("USERPROFILE")).map(PathBuf::from).unwrap_or_default();
        let hf = var("HF_HOME").map_or_else(|| home().join(".cache/huggingface"), PathBuf::from);
        let saved = || std::fs::read_to_string(hf.join("token")).ok().map(|token| token.trim().to_owned());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Hub {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: text("HF_TOKEN").or_else(saved).filter(|token| !token.is_empty()),
            cache: var("HF_HUB_CACHE").map_or_else(|| hf.join("hub"), PathBuf::from),
            offline: text("HF_HUB_OFFLINE")
                .is_some_and(|v| matches!(v.to_lowercase().as_str(), "1" | "true" | "yes" | "on")),
            patience: Patience::default(),
        }
    }

    /// As [`ModelId::parse`]; addresses at this hub's endpoint are understood too, and the short names of popular models
    /// (docs/short-names.md).
    pub fn parse(&self, text: &str) -> Option<ModelId> {
        ModelId::parse_at(text, &self.endpoint).or_else(|| short_names::find(text))
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
        let client = client::Client::new(self, progress)?;
        let listing = match client.listing(id) {
            Ok(listing) => listing,
            Err(error) if error.passes() => return repo.cached(id).ok_or(error),
            Err(error) => return Err(error),
        };
        let names: Vec<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
        let wanted = select::select(id, &names)?;
        let files: Vec<_> = listing.files.iter().filter(|file| wanted.files.contains(&file.name.as_str())).collect();
        client.download(&repo, &listing.commit, &files)?;
        repo.point_to(id.revision(), &listing.commit)?;
        Ok(repo.snapshot(&listing.commit).join(wanted.open.unwrap_or_default()))
    }
}

/// A repository's commit and files.
struct Listing {
    commit: String,
    files: Vec<RemoteFile>,
}

/// A file of a repository.
struct RemoteFile {
    name: String,
    size: u64,
    /// The name of its blob: its SHA-256 if it is large (LFS), else its git hash.
    blob: String,
    sha256: Option<String>,
}
