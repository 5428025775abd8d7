//! Fetching a repository's files: resumed where they broke off, checked against the promised SHA-256.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::cache::{Repo, create_parent};
use super::client::{Client, Trouble, line_text};
use super::{HubError, Listing, ModelId, RemoteFile};

/// Bytes that a try must bring to count as getting further.
const STEP: u64 = 1 << 20;

impl Client<'_> {
    /// The commit and the files of the revision asked for.
    pub(super) fn listing(&self, id: &ModelId) -> Result<Listing, HubError> {
        let revision = id.revision().replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}?blobs=true", self.hub.endpoint, id.repo);
        let name = id.to_string();
        let mut response = self.insist(&name, || match self.get(&name, &url, 0) {
            // Without a network the cache is asked, and soon.
            Err(line @ Trouble::Line(_)) => Err((Trouble::Lasting(self.failed(&name, line)), false)),
            other => other.map_err(|trouble| (trouble, false)),
        })?;
        let answer = |why: String| HubError::Answer { id: name.clone(), why };
        let body: Value = response.body_mut().read_json().map_err(|e| answer(e.to_string()))?;
        let commit = body["sha"].as_str().filter(|sha| is_hash(sha)).ok_or_else(|| answer("no commit".into()))?;
        let siblings = body["siblings"].as_array().ok_or_else(|| answer("no list of files".into()))?;
        Ok(Listing { commit: commit.to_owned(), files: siblings.iter().filter_map(remote_file).collect() })
    }

    /// Brings `files` into the cache and links them into the commit's snapshot.
    pub(super) fn download(&self, repo: &Repo, commit: &str, files: &[&RemoteFile]) -> Result<(), HubError> {
        for file in files {
            let blob = repo.blob(&file.blob);
            if !blob.exists() {
                let url = format!("{}/{}/resolve/{commit}/{}", self.hub.endpoint, repo.id(), escape(&file.name));
                self.fetch_blob(&url, file, &blob)?;
            }
            repo.link(commit, &file.name, &file.blob)?;
        }
        Ok(())
    }

    /// Downloads next to `blob` and moves it there when it is whole and right. A lock keeps other processes out.
    fn fetch_blob(&self, url: &str, file: &RemoteFile, blob: &Path) -> Result<(), HubError> {
        create_parent(blob)?;
        let part = blob.with_extension("incomplete");
        let io = || HubError::io(&part);
        let mut out =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&part).map_err(io())?;
        out.lock().map_err(io())?;
        if blob.exists() {
            return Ok(());
        }
        self.insist(&file.name, || {
            let mut got = 0;
            self.fetch_rest(url, file, &mut out, &mut got).map_err(|broken| match broken {
                Broken::File(e) => (Trouble::Lasting(io()(e)), false),
                Broken::Hub(trouble) => (trouble, got >= STEP),
            })
        })?;
        out.flush().map_err(io())?;
        if let Some(wanted) = &file.sha256 {
            let got = sha256(&mut out).map_err(io())?;
            if got != *wanted {
                fs::remove_file(&part).map_err(io())?;
                return Err(HubError::Checksum { file: file.name.clone(), got, wanted: wanted.clone() });
            }
        }
        fs::rename(&part, blob).map_err(io())
    }

    /// Appends what is missing, and counts it in `got`.
    fn fetch_rest(&self, url: &str, file: &RemoteFile, out: &mut File, got: &mut u64) -> Result<(), Broken> {
        let mut done = out.seek(SeekFrom::End(0))?;
        if done == file.size {
            return Ok(());
        }
        let mut response = self.get(&file.name, url, if done < file.size { done } else { 0 })?;
        if response.status() != 206 || done > file.size {
            done = 0;
            out.set_len(0)?;
            out.rewind()?;
        }
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 20];
        while done < file.size {
            let n = body.read(&mut buffer).map_err(|e| Trouble::Line(line_text(&e, self.hub.patience.stall)))?;
            if n == 0 {
                return Err(Trouble::Line(format!("the line broke after {done} of {} bytes", file.size)).into());
            }
            out.write_all(&buffer[..n])?;
            done += n as u64;
            *got += n as u64;
            (self.progress)(&file.name, done, file.size);
        }
        Ok(())
    }
}

/// Why a download stopped.
enum Broken {
    /// The file could not be written.
    File(std::io::Error),
    /// The hub did not give the rest.
    Hub(Trouble),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Broken {
        Broken::File(error)
    }
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Broken {
        Broken::Hub(trouble)
    }
}

fn remote_file(sibling: &Value) -> Option<RemoteFile> {
    let sha256 = sibling["lfs"]["sha256"].as_str().filter(|sha| is_hash(sha)).map(str::to_owned);
    let blob = sha256.clone().or_else(|| sibling["blobId"].as_str().filter(|id| is_hash(id)).map(str::to_owned))?;
    let size = sibling["lfs"]["size"].as_u64().or_else(|| sibling["size"].as_u64())?;
    Some(RemoteFile { name: sibling["rfilename"].as_str()?.to_owned(), size, blob, sha256 })
}

/// Hashes become file names.
fn is_hash(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit())
}

fn sha256(file: &mut File) -> std::io::Result<String> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A path in a URL: everything but unreserved characters and slashes as %XX.
fn escape(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
