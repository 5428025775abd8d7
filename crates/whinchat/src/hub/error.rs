//! Why a model could not be fetched, and what helps.

use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// The endpoint answers, but not now: it limits how often it is asked, or is overloaded.
    #[error("{endpoint} does not give {id} now ({}); {}", status_text(*status), busy_advice(*status, *after))]
    Busy {
        /// The model.
        id: String,
        /// The endpoint.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// How long it wants not to be asked.
        after: Option<Duration>,
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
    /// The cache has it not.
    #[error("{id} is not in {}; whinchat list says what is", cache.display())]
    Absent {
        /// The model.
        id: String,
        /// The cache.
        cache: PathBuf,
    },
    /// Offline, and the cache has it not.
    #[error("{id} is not in {} and HF_HUB_OFFLINE is set", cache.display())]
    Offline {
        /// The model.
        id: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The proxy's address cannot be used.
    #[error("{variable} is no proxy's address: write http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT")]
    Proxy {
        /// The environment's variable.
        variable: &'static str,
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
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> HubError + use<> {
        let path = path.to_owned();
        move |source| HubError::Io { path, source }
    }

    /// Whether what an earlier download left may stand in.
    pub(super) fn passes(&self) -> bool {
        matches!(self, HubError::Unreachable { .. } | HubError::Busy { .. })
    }
}

fn status_text(status: u16) -> String {
    let name = ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    name.map_or_else(|| format!("HTTP {status}"), |name| format!("HTTP {status}, {name}"))
}

fn busy_advice(status: u16, after: Option<Duration>) -> String {
    let when = after.map_or_else(|| "try again later".into(), |after| format!("try again in {} s", after.as_secs()));
    match status {
        429 => format!("{when}, or set HF_TOKEN: who signs in may ask more often"),
        _ => when,
    }
}
