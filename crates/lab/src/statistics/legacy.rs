//! The older files of importance matrices (`.dat`): a list of names with their sums.
//!
//! A file holds the number of weights; for each the length of its name, the name, a number of calls, the number of values and the
//! values, which are mean squares times the calls; then the number of chunks, and the length and name of the data set. Numbers are
//! little-endian, of 4 bytes.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Entry, Statistics};
use crate::Error;

/// What a chunk is taken to be: the files do not say it.
const CHUNK_SIZE: u32 = 512;

pub(super) fn read(path: &Path) -> Result<Statistics, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    parse(&bytes).ok_or_else(|| {
        Error::file(
            path,
            "is no importance matrix, or only a part of one; give a file from llama-imatrix or `lab calibrate`",
        )
    })
}

fn parse(bytes: &[u8]) -> Option<Statistics> {
    let mut reader = Reader(bytes);
    let mut entries = BTreeMap::new();
    for _ in 0..reader.count(1)? {
        let name = reader.text()?;
        let calls = reader.number()?;
        let values = reader.count(size_of::<f32>())?;
        let sums: Vec<f32> = reader.take(values * 4)?.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if sums.is_empty() || calls < 0 {
            return None;
        }
        entries.insert(name, Entry { sums, counts: vec![calls as f32] });
    }
    // What follows is missing in the oldest files.
    let chunks = reader.number().unwrap_or(0).max(0) as u32;
    let datasets = reader.text().filter(|name| !name.is_empty()).into_iter().collect();
    Some(Statistics { entries, datasets, chunks, chunk_size: CHUNK_SIZE })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<i32> {
        Some(i32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A number of things of which each takes so many bytes of what is left.
    fn count(&mut self, size: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len() / size)
    }

    fn text(&mut self) -> Option<String> {
        let len = self.count(1)?;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }
}

pub(super) fn write(statistics: &Statistics, path: &Path) -> Result<(), Error> {
    let mut out = Vec::new();
    let number = |out: &mut Vec<u8>, n: usize| out.extend((n as u32).to_le_bytes());
    number(&mut out, statistics.entries.len());
    for (name, entry) in &statistics.entries {
        let cols = entry.cols();
        let most = entry.counts.iter().copied().fold(0.0, f32::max);
        let calls = (most / statistics.chunk_size.max(1) as f32).ceil();
        number(&mut out, name.len());
        out.extend(name.as_bytes());
        number(&mut out, calls as usize);
        number(&mut out, entry.sums.len());
        for (sums, count) in entry.sums.chunks(cols.max(1)).zip(&entry.counts) {
            // There is no count of one expert: what was not visited counts as one everywhere.
            let mean = |sum: &f32| if *count > 0.0 { sum / count } else { 1.0 };
            sums.iter().for_each(|sum| out.extend((mean(sum) * calls).to_le_bytes()));
        }
    }
    number(&mut out, statistics.chunks as usize);
    let dataset = statistics.datasets.last().map_or("", String::as_str);
    number(&mut out, dataset.len());
    out.extend(dataset.as_bytes());
    std::fs::write(path, out).map_err(Error::io(path))
}
