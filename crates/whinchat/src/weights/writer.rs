//! Keeping packed weights: into a file beside its place, which takes the place when it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::file::checks;
use super::index::{Entry, Index, MadeOf};
use super::{Hash, Held, WeightsOrigin, hash};

/// Where each weight begins: on a cache line.
const ALIGN: usize = 64;

/// Keeps what is packed, if it can. That it cannot is no error: the weights are in memory.
pub(super) struct Keeper {
    writer: Option<Writer>,
    problem: Option<String>,
}

/// A file that is being written.
struct Writer {
    file: File,
    /// Where it is until it is whole; with the lock on it, nobody else writes there.
    partial: PathBuf,
    path: PathBuf,
    index: Index,
    end: usize,
}

impl Keeper {
    /// Keeps nothing.
    pub(super) fn none() -> Keeper {
        Keeper { writer: None, problem: None }
    }

    /// Keeps them at the first of these paths that can be written. While another process writes there, nothing is kept.
    pub(super) fn first_of(paths: impl Iterator<Item = PathBuf>, made_of: impl Fn() -> MadeOf) -> Keeper {
        let mut keeper = Keeper::none();
        for path in paths {
            let said = path.display().to_string();
            match Writer::begin(path, made_of()) {
                Ok(writer) => return Keeper { writer, problem: None },
                Err(error) => keeper.problem = Some(format!("{said}: {error}")),
            }
        }
        keeper
    }

    /// Keeps a weight that was packed of `bytes`.
    pub(super) fn put(&mut self, key: Hash, held: &Held, bytes: &[u8]) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = writer.put(key, held, bytes) {
            self.problem = Some(format!("{}: {error}", writer.path.display()));
            self.writer = None;
        }
    }

    /// Puts the file into its place.
    pub(super) fn finish(self) -> WeightsOrigin {
        match (self.writer, self.problem) {
            (Some(writer), _) => {
                let path = writer.path.clone();
                match writer.finish() {
                    Ok(bytes) => WeightsOrigin::Kept { path, bytes },
                    Err(error) => WeightsOrigin::NotKept(format!("{}: {error}", path.display())),
                }
            }
            (None, Some(problem)) => WeightsOrigin::NotKept(problem),
            (None, None) => WeightsOrigin::Packed,
        }
    }
}

impl Writer {
    /// `None` if another process writes this file now.
    fn begin(path: PathBuf, made_of: MadeOf) -> io::Result<Option<Writer>> {
        let mut partial = path.clone().into_os_string();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // What a process left that was killed is written over.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&partial)?;
        // Whoever had the lock may have put this file into its place just now: then it is theirs.
        if file.try_lock().is_err() || !is_at(&file, &partial) {
            return Ok(None);
        }
        file.set_len(0)?;
        let index = Index { made_of, weights: Vec::new() };
        Ok(Some(Writer { file, partial, path, index, end: 0 }))
    }

    fn put(&mut self, key: Hash, held: &Held, bytes: &[u8]) -> io::Result<()> {
        let packed = held.weight.packed();
        self.file.write_all(packed)?;
        let (content, checks) = (hash::content(bytes), checks(packed));
        let entry = Entry { key, content, sample: held.sample, start: self.end, bytes: packed.len(), checks };
        self.index.weights.push(entry);
        let end = self.end + packed.len();
        self.end = end.next_multiple_of(ALIGN);
        self.file.write_all(&[0; ALIGN][..self.end - end])
    }

    /// Gives the size. Nothing waits for the disk: what a machine that goes down has not written is damage, which a later start sees.
    fn finish(mut self) -> io::Result<u64> {
        let index = self.index.to_bytes(self.end as u64)?;
        self.file.write_all(&index)?;
        std::fs::rename(&self.partial, &self.path)?;
        // Its name is gone: `drop` has nothing to remove.
        Ok((self.end + index.len()) as u64)
    }
}

/// What is not whole goes. The lock goes after the name, as the file is closed last.
impl Drop for Writer {
    fn drop(&mut self) {
        if is_at(&self.file, &self.partial) {
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Whether it is this file that has the name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: std::fs::Metadata| (found.dev(), found.ino());
    let (own, there) = (file.metadata().map(place), std::fs::metadata(path).map(place));
    matches!((own, there), (Ok(own), Ok(there)) if own == there)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
