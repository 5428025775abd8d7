//! The file to which blocks of the KV cache go that have no room in memory: a ring of records, the oldest overwritten first.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use engine::{Level, LevelCounts, LevelOrder, LevelRule, Tier, TierKey};
use sha2::{Digest, Sha256};

use crate::tiers::FILE;

/// Where evicted blocks go, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spill {
    /// A file, which is overwritten, or a folder, in which a file is made that has no name.
    pub path: PathBuf,
    /// The file's size at most.
    pub bytes: u64,
}

/// A record: the name of what is kept, a checksum of the name and the bytes, and the bytes. Nothing of it outlives the process.
const HEAD: usize = 64;

/// The file, and where in it everything is.
pub(crate) struct SpillFile {
    file: File,
    limit: u64,
    /// Where the next record goes.
    end: u64,
    places: HashMap<TierKey, Place>,
    /// In the order of the file from `end` on: the oldest first.
    order: VecDeque<(Place, TierKey)>,
    record: Vec<u8>,
    counts: LevelCounts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: u64,
    bytes: usize,
}

impl Spill {
    /// Opens the file, empty.
    ///
    /// # Errors
    /// If it cannot be made, or another model uses it.
    pub(crate) fn open(&self) -> io::Result<SpillFile> {
        let file = if self.path.is_dir() { unnamed(&self.path)? } else { named(&self.path)? };
        file.set_len(0)?;
        Ok(SpillFile {
            file,
            limit: self.bytes,
            end: 0,
            places: HashMap::new(),
            order: VecDeque::new(),
            record: Vec::new(),
            counts: LevelCounts::default(),
        })
    }
}

fn named(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(io::Error::other("another model uses it; give a folder, or each model a file of its own")),
    }
}

/// A file that goes with the process: its name is taken away at once, where the system can do that.
fn unnamed(folder: &Path) -> io::Result<File> {
    for number in 0.. {
        let path = folder.join(format!("whinchat-{}-{number}.kv", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                // Elsewhere it stays, and the next process has another number.
                let _ = std::fs::remove_file(&path);
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("every name is taken"))
}

impl Tier for SpillFile {
    fn put(&mut self, key: &TierKey, bytes: &[u8]) {
        let size = (HEAD + bytes.len()) as u64;
        if size > self.limit || self.places.contains_key(key) {
            return;
        }
        let start = if self.end + size > self.limit { 0 } else { self.end };
        self.make_room(start, size);
        self.record.clear();
        self.record.extend(key.0);
        self.record.extend(checksum(key, bytes));
        self.record.extend(bytes);
        // What could not be written is not there.
        if self.write(start).is_ok() {
            let place = Place { start, bytes: bytes.len() };
            self.places.insert(*key, place);
            self.order.push_back((place, *key));
            self.end = start + size;
            self.counts.put += 1;
        }
    }

    fn has(&self, key: &TierKey) -> bool {
        self.places.contains_key(key)
    }

    fn get(&mut self, key: &TierKey, bytes: &mut Vec<u8>) -> bool {
        let Some(&Place { start, bytes: len }) = self.places.get(key) else { return false };
        let undamaged =
            self.read(start, len, bytes).is_ok_and(|head| head[..32] == key.0 && head[32..] == checksum(key, bytes));
        if undamaged {
            self.counts.hits += 1;
        } else {
            self.places.remove(key);
        }
        undamaged
    }

    fn levels(&self) -> Vec<Level> {
        let record = |place: &Place| (HEAD + place.bytes) as u64;
        vec![Level {
            name: FILE.into(),
            used: self.places.values().map(record).sum(),
            limit: self.limit,
            entries: self.places.len(),
            rule: LevelRule::Fifo.name(),
            promotion: None,
            counts: self.counts,
        }]
    }

    fn order(&mut self, level: &str, order: &LevelOrder) -> Option<usize> {
        match order {
            _ if level != FILE => None,
            LevelOrder::Evict(entries) => Some(self.evict(*entries)),
            LevelOrder::Flush => Some(self.evict(usize::MAX)),
            LevelOrder::Resize(bytes) => {
                // What lies behind the new end cannot stay, and the ring begins anew.
                let gone = if *bytes < self.limit { self.evict(usize::MAX) } else { 0 };
                self.limit = *bytes;
                Some(gone)
            }
            LevelOrder::Rule(LevelRule::Fifo) => Some(0),
            LevelOrder::Rule(_) | LevelOrder::Promote(_) => None,
        }
    }
}

impl SpillFile {
    /// Somebody keeps what was found elsewhere too.
    pub(crate) fn promoted(&mut self) {
        self.counts.promoted += 1;
    }

    /// Forgets so many records, the oldest first; gives how many there were.
    fn evict(&mut self, most: usize) -> usize {
        let mut gone = 0;
        while gone < most
            && let Some((place, key)) = self.order.pop_front()
        {
            if self.places.get(&key) == Some(&place) {
                self.places.remove(&key);
                gone += 1;
            }
        }
        if self.order.is_empty() {
            self.end = 0;
        }
        gone
    }

    /// Forgets what is where the next record goes: all behind it if it begins anew at the front.
    fn make_room(&mut self, start: u64, size: u64) {
        let (wraps, end) = (start < self.end, self.end);
        while let Some(&(place, key)) = self.order.front() {
            let behind = wraps && place.start >= end;
            let overlaps = place.start < start + size && place.start + (HEAD + place.bytes) as u64 > start;
            if !behind && !overlaps {
                return;
            }
            self.order.pop_front();
            // A record that was damaged may have been written again since.
            if self.places.get(&key) == Some(&place) {
                self.counts.evicted += 1;
                self.places.remove(&key);
            }
        }
    }

    fn write(&mut self, start: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(start))?;
        self.file.write_all(&self.record)
    }

    fn read(&mut self, start: u64, len: usize, bytes: &mut Vec<u8>) -> io::Result<[u8; HEAD]> {
        let mut head = [0; HEAD];
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(&mut head)?;
        bytes.resize(len, 0);
        self.file.read_exact(bytes)?;
        Ok(head)
    }
}

fn checksum(key: &TierKey, bytes: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(key.0).chain_update(bytes).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> TierKey {
        TierKey([number; 32])
    }

    /// Of the records 0 to 9, those that are there and hold what they should.
    fn held(file: &mut SpillFile) -> String {
        let mut bytes = Vec::new();
        let whole = |number: &u8| file.get(&key(*number), &mut bytes) && bytes.iter().all(|byte| byte == number);
        (0..10).filter(whole).map(|number| number.to_string()).collect()
    }

    #[test]
    fn the_oldest_records_give_way() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().to_owned(), folder.path().join("file")] {
            // Records of 100 bytes and their heads: three fit.
            let mut file = Spill { path, bytes: 500 }.open().expect("a file");
            (0..5).for_each(|number| file.put(&key(number), &[number; 100]));
            assert_eq!(held(&mut file), "234");
            // A smaller one takes the oldest one's place, a larger one begins anew at the front, and one that never fits is
            // not there.
            file.put(&key(5), &[5; 30]);
            assert_eq!(held(&mut file), "345");
            file.put(&key(6), &[6; 200]);
            file.put(&key(7), &[7; 1000]);
            assert_eq!(held(&mut file), "56");
            // What is there stays as it is.
            file.put(&key(5), &[9; 100]);
            assert_eq!(held(&mut file), "56");
        }
    }

    #[test]
    fn damage_is_a_miss() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut file = Spill { path: path.clone(), bytes: 1000 }.open().expect("a file");
        (0..3).for_each(|number| file.put(&key(number), &[number; 100]));
        let mut other = OpenOptions::new().write(true).open(&path).expect("the same file");
        // A byte of the first one's bytes, of the second one's name, and all of the third one's end.
        for at in [70, 164 + 3] {
            other.seek(SeekFrom::Start(at)).and_then(|_| other.write_all(&[77])).expect("written");
        }
        other.set_len(400).expect("cut");
        assert_eq!(held(&mut file), "");
        file.put(&key(1), &[1; 100]);
        assert_eq!(held(&mut file), "1");
        assert!(Spill { path, bytes: 1000 }.open().is_err(), "another model uses it");
    }
}
