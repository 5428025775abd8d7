//! Folders: whether what is kept can be written, and whether there is room for it.

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use whinchat::WeightsCache;
use whinchat::hub::Hub;

use super::model::Unready;
use super::{Finding, Patient};

const CHECK: &str = "storage";

/// For what grows slowly.
const SOME: u64 = 256 << 20;

/// A folder, or a file in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// What is kept there.
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    /// Whether the server does not start without it.
    pub(super) needed: bool,
    /// Whether this build can keep it.
    pub(super) possible: bool,
    /// Bytes that it will take.
    pub(super) wants: u64,
    pub(super) found: Found,
}

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether it can be written, or made.
    pub(super) writable: bool,
    /// Free bytes, where the system says.
    pub(super) free: Option<u64>,
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let (storage, cache) = (&patient.config.storage, &patient.config.cache);
    let kept = |what, path: &Path, needed, wants| Kept {
        what,
        path: path.to_owned(),
        needed,
        possible: true,
        wants,
        found: find(path),
    };
    let data = storage.data_dir.iter().map(|path| kept("files and batches", path, true, SOME));
    let data = data.map(|kept| Kept { possible: cfg!(feature = "batches"), ..kept });
    let sessions = storage.sessions.iter().map(|path| kept("sessions", path, true, SOME));
    let spill = cache.spill.iter().map(|path| kept("what the KV cache evicts", path, true, cache.spill_size.0));
    let weights = match &patient.options.cache.weights {
        WeightsCache::Folder(path) => Some(kept("packed weights", path, false, packed(patient))),
        _ => None,
    };
    let absent = patient.candidates.iter().any(|one| matches!(one.prepared, Err(Unready::Absent(_))));
    let hub = absent.then(|| kept("downloaded models", &Hub::from_env().cache, true, SOME));
    data.chain(sessions).chain(spill).chain(weights).chain(hub).map(|kept| judge(&kept)).collect()
}

/// What the weights of all models take, packed.
fn packed(patient: &Patient) -> u64 {
    let weights = patient.candidates.iter().filter_map(|one| Some(one.prepared.as_ref().ok()?.memory.weights));
    weights.map(|bytes| bytes + bytes / 16).sum()
}

/// Whether a path can be written: it, or the folder in which it would be made.
#[cfg(unix)]
fn find(path: &Path) -> Found {
    use rustix::fs::{Access, access, statvfs};
    let there = path.ancestors().find(|part| part.exists() || part.as_os_str().is_empty()).unwrap_or(path);
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    // A file stands where a folder would have to be.
    let blocked = there.is_file() && there != path;
    let free = statvfs(there).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    Found { writable: !blocked && access(there, Access::WRITE_OK).is_ok(), free }
}

#[cfg(not(unix))]
fn find(path: &Path) -> Found {
    let there = path.ancestors().find(|part| part.exists()).and_then(|part| part.metadata().ok());
    Found { writable: there.is_none_or(|there| !there.permissions().readonly()), free: None }
}

/// What is to be said of a place.
pub(super) fn judge(kept: &Kept) -> Finding {
    let Kept { what, needed, possible, wants, found, .. } = kept;
    let path = kept.path.display();
    let bad = if *needed { Finding::fails } else { Finding::warning };
    if !possible {
        let why = format!("{what} in {path}: this build cannot keep them");
        return bad(CHECK, why, "build it with --features batches".to_owned());
    }
    if !found.writable {
        return bad(
            CHECK,
            format!("{what} in {path}: it cannot be written"),
            "another folder, or its permissions (chmod, chown)".to_owned(),
        );
    }
    match found.free {
        Some(free) if free < *wants => {
            let (free, wants) = (HumanBytes(free), HumanBytes(*wants));
            let why = format!("{what} in {path}: {free} are free, and {wants} may be wanted");
            Finding::warning(CHECK, why, "make room, or take another disk")
        }
        free => {
            let free = free.map_or_else(String::new, |free| format!(", {} are free", HumanBytes(free)));
            Finding::fine(CHECK, format!("{what} in {path}: it can be written{free}"))
        }
    }
}
