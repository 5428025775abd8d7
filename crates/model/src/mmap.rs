//! The bytes of a file: a read-only memory map, or memory that the caller gave. The only `unsafe` of this crate.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::{FileIdentity, ModelError};

/// Where the bytes of a file are.
pub(crate) enum Bytes {
    /// A file, mapped, and which one it is.
    Map(memmap2::Mmap, FileIdentity),
    /// Memory: an embedded model, a test, a fuzzer.
    Memory(Cow<'static, [u8]>),
}

impl Bytes {
    /// Maps a file for reading.
    ///
    /// A map of a file that is *truncated* while it is in use kills the process with SIGBUS when the lost pages are
    /// touched. That is accepted, as every loader of large models does: copying gigabytes at each start would cost
    /// more than it protects, and whoever replaces a model does it by renaming a new file over the old one (as
    /// downloaders and package managers do), which leaves the mapped one whole. No length is ever read again after the
    /// checks at opening, so a file that *grows* changes nothing.
    pub(crate) fn map(path: &Path) -> Result<Arc<Bytes>, ModelError> {
        let io = |e| ModelError::io(path, e);
        // Asked before opening, because opening a named pipe waits for a writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(ModelError::invalid(path, "file", "is not a regular file; give a model's file or folder"));
        }
        let file = File::open(path).map_err(io)?;
        let identity = FileIdentity::of(path, &file).map_err(io)?;
        // SAFETY: the map is private to this value, read-only and never handed out as mutable; bytes that another
        // process changes in place are read as data only, every length and offset is checked against the map's own
        // length, and truncation is the case that is described above.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Ok(Arc::new(Bytes::Map(map, identity)))
    }

    /// Which file it is; `None` of memory that something else may take later.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        match self {
            Bytes::Map(_, identity) => Some(*identity),
            // Nothing else is ever where the program has its own bytes.
            Bytes::Memory(Cow::Borrowed(bytes)) => {
                let number = bytes.as_ptr().addr() as u64;
                Some(FileIdentity { device: u64::MAX, number, bytes: bytes.len() as u64, modified: 0 })
            }
            Bytes::Memory(Cow::Owned(_)) => None,
        }
    }

    /// Gives back the memory of the pages read so far; they are read from the file again when they are needed again. A
    /// wish: where the system has no such advice, or refuses it, nothing changes.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        if let Bytes::Map(map, _) = self {
            // SAFETY: the map is shared and read-only, backed by its file: pages dropped come back with the file's bytes.
            #[allow(unsafe_code)]
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Map(map, _) => map,
            Bytes::Memory(memory) => memory,
        }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
