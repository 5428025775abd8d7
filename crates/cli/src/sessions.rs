//! Sessions as files of a folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serve::{SessionFile, SessionFiles};

const SUFFIX: &str = ".session";

/// A folder with a file for each session.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder; makes it if need be.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        fs::create_dir_all(path)?;
        Ok(Folder(path.to_owned()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}{SUFFIX}"))
    }
}

impl SessionFiles for Folder {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Under another name first: what is there is whole at any time.
        let half = self.0.join(format!("{name}.{}.part", std::process::id()));
        let done = fs::write(&half, bytes).and_then(|()| fs::rename(&half, self.path(name)));
        if done.is_err() {
            let _ = fs::remove_file(&half);
        }
        done
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        there(fs::read(self.path(name)))
    }

    fn list(&self) -> io::Result<Vec<SessionFile>> {
        let mut sessions = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(SUFFIX)) else { continue };
            // One that was deleted meanwhile is not there.
            let Some(about) = there(entry.metadata())? else { continue };
            let saved = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let saved = saved.unwrap_or_default().as_secs();
            sessions.push(SessionFile { name: name.to_owned(), bytes: about.len(), saved });
        }
        sessions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sessions)
    }

    fn remove(&self, name: &str) -> io::Result<bool> {
        Ok(there(fs::remove_file(self.path(name)))?.is_some())
    }
}

/// What is not there is no error.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_kept_listed_and_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let sessions = Folder::open(&folder.path().join("new")).expect("a folder in it");
        let names = || sessions.list().expect("a list").into_iter().map(|s| (s.name, s.bytes)).collect::<Vec<_>>();
        for (name, bytes) in [("b", &b"one"[..]), ("a.b", b"two"), ("b", b"three")] {
            sessions.put(name, bytes).expect("written");
        }
        assert_eq!(names(), [("a.b".to_owned(), 3), ("b".to_owned(), 5)]);
        assert_eq!((sessions.get("b").unwrap(), sessions.get("c").unwrap()), (Some(b"three".to_vec()), None));
        assert_eq!((sessions.remove("b").unwrap(), sessions.remove("b").unwrap()), (true, false));
        assert_eq!(names().len(), 1);
    }
}
