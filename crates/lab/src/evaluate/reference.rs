//! What a reference model answers on the evaluation text, computed once and kept in a file: for each position its most likely tokens
//! with their log-probabilities, and that of the token which follows.
//!
//! The file has a header of 64 bytes (a mark, a key, and the numbers that sizes follow from) and then chunk after chunk, so that a
//! computation that was interrupted goes on after the last whole chunk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use graph::Backend;
use model::Model;
use sha2::{Digest, Sha256};

use super::{ROWS, log_sum};
use crate::runner::{Runner, Weights, check_logits, fused};
use crate::{Error, Progress, threads};

const MARK: &[u8; 8] = b"WCREF\0\0\x01";
const HEADER: usize = 64;
/// Fewer tokens of a position say too little.
const LEAST: usize = 16;

/// What is kept, and where.
#[derive(Clone, Debug)]
pub struct ReferenceOptions {
    /// The file.
    pub path: PathBuf,
    /// Which model it is of: a hash of its weights.
    pub key: [u8; 32],
    /// Bytes it takes at most; how many tokens are kept of each position follows from it.
    pub bytes: u64,
}

/// A reference's outputs.
#[derive(Debug)]
pub struct Reference {
    path: PathBuf,
    file: File,
    chunks: Vec<Vec<u32>>,
    vocab: usize,
    top: usize,
}

/// What was kept of a chunk.
pub(super) struct Kept {
    first: usize,
    top: usize,
    bytes: Vec<u8>,
}

/// What was kept of a position.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeptPosition {
    /// The log-probability of the token that follows.
    pub(super) next: f32,
    /// The most likely tokens and their log-probabilities.
    pub(super) top: Vec<(u32, f32)>,
}

impl Reference {
    /// Computes what is missing of a reference, or opens it if it is whole. Of each of the `chunks`, which are of one length, the second half is
    /// scored.
    ///
    /// # Errors
    /// If there is no text, the bound is too low, the model cannot be run, the file cannot be written, or somebody stops it: the file
    /// then has what was computed.
    pub fn open<B: Backend>(
        backend: &B,
        model: &Model,
        chunks: Vec<Vec<u32>>,
        options: &ReferenceOptions,
        (stop, progress): (&AtomicBool, Progress),
    ) -> Result<Reference, Error> {
        check_logits(model)?;
        let len = chunks.first().map_or(0, Vec::len);
        if len < 4 || chunks.iter().any(|chunk| chunk.len() != len) {
            let problem = "there is not enough evaluation text; give more, or take shorter chunks with --context";
            return Err(Error::Request(problem.into()));
        }
        let vocab = model.graph().output_width();
        let positions = (chunks.len() * (len - 1 - len / 2)) as u64;
        let top = (options.bytes / positions).saturating_sub(4) as usize / 8;
        if top < LEAST.min(vocab) {
            let least = positions * (4 + 8 * LEAST as u64);
            return Err(Error::Request(format!(
                "the reference takes at least {least} bytes; allow it more, or fewer chunks"
            )));
        }
        let top = top.min(vocab);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&options.path);
        let file = open.map_err(Error::io(&options.path))?;
        let mut reference = Reference { path: options.path.clone(), file, chunks, vocab, top };
        let done = reference.resume(&options.key)?;
        if done < reference.chunks.len() {
            reference.compute(backend, model, done, stop, progress)?;
        }
        Ok(reference)
    }

    /// How many whole chunks the file has; none, and an empty file with a new header, if it is of something else.
    fn resume(&mut self, key: &[u8; 32]) -> Result<usize, Error> {
        let header = self.header(key);
        let mut found = Vec::new();
        let io = Error::io(&self.path);
        (&self.file).take(HEADER as u64).read_to_end(&mut found).map_err(&io)?;
        let len = self.file.metadata().map_err(&io)?.len();
        let whole = if found == header { (len as usize - HEADER) / self.chunk_bytes() } else { 0 };
        if found != header {
            self.file.set_len(0).map_err(&io)?;
            self.file.seek(SeekFrom::Start(0)).map_err(&io)?;
            self.file.write_all(&header).map_err(&io)?;
        }
        self.file.set_len((HEADER + whole * self.chunk_bytes()) as u64).map_err(&io)?;
        Ok(whole.min(self.chunks.len()))
    }

    fn header(&self, key: &[u8; 32]) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(key);
        self.chunks.iter().flatten().for_each(|token| hash.update(token.to_le_bytes()));
        let numbers = [self.vocab, self.top, self.chunks.len(), self.chunk_len(), self.first(), 0];
        let numbers = numbers.into_iter().flat_map(|n| (n as u32).to_le_bytes());
        MARK.iter().copied().chain(hash.finalize()).chain(numbers).collect()
    }

    fn compute<B: Backend>(
        &mut self,
        backend: &B,
        model: &Model,
        done: usize,
        stop: &AtomicBool,
        progress: Progress,
    ) -> Result<(), Error> {
        let weights = Weights::upload(backend, model, progress)?;
        let graph = fused(backend, model.graph(), &[])?;
        let mut runner = Runner::new(backend, &graph, &weights, self.chunk_len(), ROWS)?;
        let (vocab, top, total) = (self.vocab, self.top, self.chunks.len());
        self.file.seek(SeekFrom::End(0)).map_err(Error::io(&self.path))?;
        for index in done..total {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let tokens = &self.chunks[index];
            let mut bytes = Vec::with_capacity(self.chunk_bytes());
            runner.run(tokens, self.first(), |position, rows| {
                let kept = |i: usize| keep(&rows[i * vocab..(i + 1) * vocab], tokens[position + i + 1], top);
                // Nothing follows the last token.
                let count = (rows.len() / vocab).min(tokens.len() - 1 - position);
                bytes.extend(threads::each(count, kept).concat());
                Ok(())
            })?;
            (&self.file).write_all(&bytes).map_err(Error::io(&self.path))?;
            progress("computing the reference", index as u64 + 1, total as u64);
        }
        Ok(())
    }

    /// What was kept of a chunk.
    pub(super) fn read(&mut self, index: usize) -> Result<Kept, Error> {
        let mut bytes = vec![0; self.chunk_bytes()];
        let at = HEADER + index * self.chunk_bytes();
        let read = self.file.seek(SeekFrom::Start(at as u64)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(Error::io(&self.path))?;
        Ok(Kept { first: self.first(), top: self.top, bytes })
    }

    /// The tokens of each chunk.
    pub fn chunks(&self) -> &[Vec<u32>] {
        &self.chunks
    }

    /// Tokens of a chunk.
    pub fn chunk_len(&self) -> usize {
        self.chunks[0].len()
    }

    /// The first position of a chunk that is scored.
    pub fn first(&self) -> usize {
        self.chunk_len() / 2
    }

    /// Positions of a chunk that are scored.
    pub fn positions(&self) -> usize {
        self.chunk_len() - 1 - self.first()
    }

    /// Tokens of the vocabulary.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Tokens that are kept of each position.
    pub fn top(&self) -> usize {
        self.top
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn chunk_bytes(&self) -> usize {
        self.positions() * (4 + 8 * self.top)
    }
}

/// What is kept of a row of logits.
fn keep(row: &[f32], next: u32, top: usize) -> Vec<u8> {
    let sum = log_sum(row);
    let log = |id: u32| (f64::from(row[id as usize]) - sum) as f32;
    let mut ids: Vec<u32> = (0..row.len() as u32).collect();
    if top < ids.len() {
        ids.select_nth_unstable_by(top, |a, b| row[*b as usize].total_cmp(&row[*a as usize]));
        ids.truncate(top);
        ids.sort_unstable();
    }
    let mut bytes = log(next).to_le_bytes().to_vec();
    for id in ids {
        bytes.extend(id.to_le_bytes());
        bytes.extend(log(id).to_le_bytes());
    }
    bytes
}

impl Kept {
    /// What was kept of a position of the chunk.
    pub(super) fn position(&self, position: usize) -> KeptPosition {
        let size = 4 + 8 * self.top;
        let bytes = &self.bytes[(position - self.first) * size..][..size];
        let words: Vec<[u8; 4]> = bytes.as_chunks().0.to_vec();
        let pair = |pair: &[[u8; 4]; 2]| (u32::from_le_bytes(pair[0]), f32::from_le_bytes(pair[1]));
        KeptPosition { next: f32::from_le_bytes(words[0]), top: words[1..].as_chunks().0.iter().map(pair).collect() }
    }
}
