//! Asking the hub and fetching files: resumed where they broke off, checked against the promised SHA-256.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::cache::{Repo, create_parent};
use super::{Hub, HubError, Listing, ModelId, RemoteFile};
use crate::Progress;

/// How often a broken download is taken up again before giving up.
const TRIES: usize = 5;

impl Hub {
    /// The repository's head: its commit and files.
    pub(super) fn listing(&self, id: &ModelId) -> Result<Listing, HubError> {
        let url = format!("{}/api/models/{}/revision/main?blobs=true", self.endpoint, id.repo);
        let mut response = self.get(&url, 0).map_err(|e| self.failed(&id.to_string(), e))?;
        let answer = |why: String| HubError::Answer { id: id.to_string(), why };
        let body: Value = response.body_mut().read_json().map_err(|e| answer(e.to_string()))?;
        let commit = body["sha"].as_str().filter(|sha| is_hash(sha)).ok_or_else(|| answer("no commit".into()))?;
        let siblings = body["siblings"].as_array().ok_or_else(|| answer("no list of files".into()))?;
        Ok(Listing { commit: commit.to_owned(), files: siblings.iter().filter_map(remote_file).collect() })
    }

    /// Brings `files` into the cache and links them into the commit's snapshot.
    pub(super) fn download(
        &self,
        repo: &Repo,
        commit: &str,
        files: &[&RemoteFile],
        progress: Progress,
    ) -> Result<(), HubError> {
        for file in files {
            let blob = repo.blob(&file.blob);
            if !blob.exists() {
                let url = format!("{}/{}/resolve/{commit}/{}", self.endpoint, repo.id(), escape(&file.name));
                self.fetch_blob(&url, file, &blob, progress)?;
            }
            repo.link(commit, &file.name, &file.blob)?;
        }
        Ok(())
    }

    /// Downloads next to `blob` and moves it there when it is whole and right. A lock keeps other processes out.
    fn fetch_blob(&self, url: &str, file: &RemoteFile, blob: &Path, progress: Progress) -> Result<(), HubError> {
        create_parent(blob)?;
        let part = blob.with_extension("incomplete");
        let io = || HubError::io(&part);
        let mut out =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&part).map_err(io())?;
        out.lock().map_err(io())?;
        if blob.exists() {
            return Ok(());
        }
        for attempt in 1.. {
            match self.fetch_rest(url, file, &mut out, progress) {
                Ok(()) => break,
                Err(Broken::File(e)) => return Err(io()(e)),
                Err(Broken::Refused(e)) => return Err(e),
                Err(Broken::Line(_)) if attempt < TRIES => {}
                Err(Broken::Line(why)) => {
                    return Err(HubError::Unreachable { id: file.name.clone(), endpoint: self.endpoint.clone(), why });
                }
            }
        }
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

    /// Appends what is missing.
    fn fetch_rest(&self, url: &str, file: &RemoteFile, out: &mut File, progress: Progress) -> Result<(), Broken> {
        let mut done = out.seek(SeekFrom::End(0)).map_err(Broken::File)?;
        if done == file.size {
            return Ok(());
        }
        let mut response = self.get(url, done).map_err(|e| match e {
            ureq::Error::StatusCode(_) => Broken::Refused(self.failed(&file.name, e)),
            e => Broken::Line(e.to_string()),
        })?;
        if response.status() != 206 || done > file.size {
            done = 0;
            out.set_len(0).and_then(|()| out.rewind()).map_err(Broken::File)?;
        }
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 20];
        while done < file.size {
            let n = body.read(&mut buffer).map_err(|e| Broken::Line(e.to_string()))?;
            if n == 0 {
                return Err(Broken::Line(format!("the line broke after {done} of {} bytes", file.size)));
            }
            out.write_all(&buffer[..n]).map_err(Broken::File)?;
            done += n as u64;
            progress(&file.name, done, file.size);
        }
        Ok(())
    }

    fn get(&self, url: &str, from: u64) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let agent = ureq::Agent::config_builder()
            .user_agent(concat!("whinchat/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        let mut request = agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.call()
    }

    fn failed(&self, id: &str, error: ureq::Error) -> HubError {
        let (id, endpoint) = (id.to_owned(), self.endpoint.clone());
        match error {
            ureq::Error::StatusCode(status @ (401 | 403 | 404)) => HubError::Refused { id, endpoint, status },
            error => HubError::Unreachable { id, endpoint, why: error.to_string() },
        }
    }
}

/// Why a download stopped.
enum Broken {
    /// The file could not be written: trying again will not help.
    File(std::io::Error),
    /// The server said no.
    Refused(HubError),
    /// The line broke: to be taken up again.
    Line(String),
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
