//! What calibration has added up so far, in a file, so that it goes on where it was stopped.
//!
//! The file has a mark, a key, how many chunks were computed, how many bytes of numbers follow, and then the numbers of every tap.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use model::Checkpoint;
use sha2::{Digest, Sha256};

use super::Collector;
use crate::Error;

const MARK: &[u8; 8] = b"WCSUM\0\0\x01";
/// Chunks after which it is written. Gram matrices take gigabytes.
pub(super) const EVERY: usize = 8;

/// Where it is kept, and what it is of.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// A hash of all that decides on what is added up: see [`Kept::new`].
    pub key: [u8; 32],
}

impl Kept {
    /// For `checkpoint` and these chunks, with Gram matrices of so many columns. All weights are read once.
    pub fn new(path: PathBuf, checkpoint: &Checkpoint, chunks: &[Vec<u32>], gram: Option<usize>) -> Kept {
        Kept::of(path, &crate::experiment::of_model(checkpoint), chunks, gram)
    }

    /// As [`Kept::new`], with a hash of the model.
    pub(crate) fn of(path: PathBuf, model: &[u8; 32], chunks: &[Vec<u32>], gram: Option<usize>) -> Kept {
        let mut hash = Sha256::new();
        hash.update(concat!(env!("CARGO_PKG_VERSION"), " 1"));
        hash.update(model);
        hash.update(format!("{gram:?}"));
        for chunk in chunks {
            hash.update((chunk.len() as u64).to_le_bytes());
            chunk.iter().for_each(|token| hash.update(token.to_le_bytes()));
        }
        Kept { path, key: hash.finalize().into() }
    }

    /// Fills the collectors, and gives the chunks that are in them: none if there is no such file, or it is of something else.
    pub(super) fn read(&self, collectors: &mut [Collector]) -> Result<usize, Error> {
        let read = || {
            let mut file = BufReader::new(File::open(&self.path).ok()?);
            let mut header = vec![0; self.header(0, collectors).len()];
            file.read_exact(&mut header).ok()?;
            let done = u64::from_le_bytes(*header.last_chunk()?) as usize;
            let size = file.get_ref().metadata().ok()?.len();
            let whole = size == header.len() as u64 + bytes(collectors);
            (whole && header == self.header(done, collectors)).then_some((file, done))
        };
        let Some((mut file, done)) = read() else { return Ok(0) };
        let numbers = collectors.iter_mut().try_for_each(|collector| collector.read(&mut file));
        numbers.map_err(Error::io(&self.path)).map(|()| done)
    }

    /// Writes what the collectors have after `done` chunks; what is there is never half of it.
    pub(super) fn write(&self, collectors: &[Collector], done: usize) -> Result<(), Error> {
        let part = self.path.with_added_extension("part");
        let write = || {
            let mut file = BufWriter::new(File::create(&part)?);
            file.write_all(&self.header(done, collectors))?;
            collectors.iter().try_for_each(|collector| collector.write(&mut file))?;
            file.into_inner()?.sync_all()?;
            std::fs::rename(&part, &self.path)
        };
        write().map_err(Error::io(&self.path))
    }

    /// The last eight bytes say how many chunks were computed.
    fn header(&self, done: usize, collectors: &[Collector]) -> Vec<u8> {
        let numbers = [bytes(collectors).to_le_bytes(), (done as u64).to_le_bytes()];
        [MARK.as_slice(), &self.key, numbers.as_flattened()].concat()
    }
}

/// Bytes of all numbers.
fn bytes(collectors: &[Collector]) -> u64 {
    collectors.iter().map(Collector::bytes).sum()
}

/// A number as a file has it.
pub(super) trait Number: Copy {
    fn write(self, file: &mut impl Write) -> std::io::Result<()>;
    fn read(file: &mut impl Read) -> std::io::Result<Self>;
}

macro_rules! number {
    ($kind:ty) => {
        impl Number for $kind {
            fn write(self, file: &mut impl Write) -> std::io::Result<()> {
                file.write_all(&self.to_le_bytes())
            }

            fn read(file: &mut impl Read) -> std::io::Result<Self> {
                let mut bytes = [0; size_of::<$kind>()];
                file.read_exact(&mut bytes)?;
                Ok(<$kind>::from_le_bytes(bytes))
            }
        }
    };
}

number!(f32);
number!(f64);
number!(u64);

pub(super) fn put<T: Number>(numbers: &[T], file: &mut impl Write) -> std::io::Result<()> {
    numbers.iter().try_for_each(|number| number.write(file))
}

pub(super) fn get<T: Number>(numbers: &mut [T], file: &mut impl Read) -> std::io::Result<()> {
    numbers.iter_mut().try_for_each(|number| T::read(file).map(|read| *number = read))
}
