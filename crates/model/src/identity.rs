//! Which file a file is, as the system tells: what is known of its bytes holds for all who have opened the same one.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What tells a file from all others and from itself before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The file system it is on.
    pub device: u64,
    /// Its number there.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: u64,
}

impl FileIdentity {
    /// Of an opened file, so that it is the one that is read, whatever `path` names by now.
    pub(crate) fn of(path: &Path, file: &File) -> io::Result<FileIdentity> {
        let found = file.metadata()?;
        let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let (device, number) = place(path, &found)?;
        Ok(FileIdentity {
            device,
            number,
            bytes: found.len(),
            modified: modified.map_or(0, |time| time.as_nanos() as u64),
        })
    }
}

#[cfg(unix)]
fn place(_: &Path, found: &Metadata) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Ok((found.dev(), found.ino()))
}

/// Where files have no numbers that the standard library tells, their paths stand for them.
#[cfg(not(unix))]
fn place(path: &Path, _: &Metadata) -> io::Result<(u64, u64)> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    path.canonicalize()?.hash(&mut hasher);
    Ok((0, hasher.finish()))
}
