//! The file of API keys on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serve::KeyFile;

/// Reads a file of keys.
///
/// # Errors
/// If it cannot be read, or is none.
pub(crate) fn read(path: &Path) -> anyhow::Result<KeyFile> {
    let named = || format!("the file of API keys {}", path.display());
    let text = fs::read_to_string(path).with_context(named)?;
    KeyFile::parse(&text).map_err(anyhow::Error::msg).with_context(named)
}

/// A file of keys that is being changed: by nobody else meanwhile, and at once for who reads it.
pub(crate) struct Change<'a> {
    path: &'a Path,
    /// The new file, until it takes the place of the old one.
    next: Option<(PathBuf, File)>,
    pub(crate) keys: KeyFile,
}

impl<'a> Change<'a> {
    /// Begins to change a file; one that does not exist has no keys yet.
    ///
    /// # Errors
    /// If it is no file of keys, cannot be written, or is being changed already.
    pub(crate) fn begin(path: &'a Path) -> anyhow::Result<Change<'a>> {
        let mut name = path.file_name().context("a file of API keys needs a name")?.to_owned();
        name.push(".new");
        let next = path.with_file_name(name);
        let file =
            private(OpenOptions::new().write(true).create_new(true)).open(&next).map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => anyhow::anyhow!(
                    "{} is there: the keys are being changed by another program. If one was killed, remove that file",
                    next.display()
                ),
                _ => anyhow::Error::new(e).context(format!("cannot write {}", next.display())),
            })?;
        let mut change = Change { path, next: Some((next, file)), keys: KeyFile::default() };
        if path.exists() {
            change.keys = read(path)?;
        }
        Ok(change)
    }

    /// Puts what is changed in place of what was.
    ///
    /// # Errors
    /// If it cannot be written; then all is as it was.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let Some((next, mut file)) = self.next.take() else { return Ok(()) };
        let done = file
            .write_all(self.keys.to_text().as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&next, self.path));
        if done.is_err() {
            let _ = fs::remove_file(&next);
        }
        done.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if let Some((next, _)) = self.next.take() {
            let _ = fs::remove_file(next);
        }
    }
}

/// For its owner alone: who reads the file learns who has keys, if not the keys.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        read(path).expect("a file of keys").keys().iter().map(|entry| entry.name.clone()).collect()
    }

    #[test]
    fn a_file_is_changed_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let mut change = Change::begin(&path).expect("a new file");
        change.keys.create("a", Default::default(), [1; 32], 0).expect("a name");
        let second = Change::begin(&path).err().expect("it is being changed").to_string();
        assert!(second.contains("keys.json.new is there"), "{second}");
        change.finish().expect("it is written");
        assert_eq!(names(&path), ["a"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut given_up = Change::begin(&path).expect("nobody changes it");
        assert!(given_up.keys.revoke("a"));
        drop(given_up);
        assert_eq!(names(&path), ["a"]);
        fs::write(&path, "{}").expect("written");
        assert!(Change::begin(&path).is_err_and(|e| format!("{e:#}").contains("missing field `keys`")));
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "nothing is left over");
    }
}
