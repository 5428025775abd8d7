//! An executor in another process: batches go there as bytes and logits come back. How bytes travel is not known here.
//!
//! A message is a header and what it carries, all numbers in little-endian order. The header has the kind of the message, the epoch and the
//! number of the message in it. An epoch begins with a hello, which empties the memory of sequences; whoever computes then takes each
//! number once and in order, and answers with the same. So a message that is lost, comes twice or comes from an earlier life of either
//! process is noticed before anything is computed on a memory that is not what the other side thinks.

mod answer;
mod bytes;
mod client;
mod host;

pub use answer::Answer;
pub use bytes::Malformed;
pub use client::{Courier, RemoteExecutor};
pub use host::{ExecutorHost, LastSpan};

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Begin an epoch, and say what can be computed.
    Hello = 1,
    /// Compute a batch.
    Forward = 2,
    /// Forget what these blocks hold.
    Forget = 3,
    /// Forget what these slots hold.
    ForgetStates = 4,
}

impl Kind {
    fn of(number: u32) -> Option<Kind> {
        [Kind::Hello, Kind::Forward, Kind::Forget, Kind::ForgetStates].into_iter().find(|kind| *kind as u32 == number)
    }
}

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// What was asked for follows.
    Done = 0,
    /// The batch failed, as the text says.
    Batch = 1,
    /// Nothing can be computed any more, as the text says.
    Broken = 2,
    /// The message is of another epoch, or out of order, or not to be read, as the text says.
    Refused = 3,
}

impl Outcome {
    fn of(number: u32) -> Option<Outcome> {
        let all = [Outcome::Done, Outcome::Batch, Outcome::Broken, Outcome::Refused];
        all.into_iter().find(|outcome| *outcome as u32 == number)
    }
}

/// The version of all this: the first four bytes of a message.
const MAGIC: u32 = u32::from_le_bytes(*b"whx1");

/// What a message or an answer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// A [`Kind`] or an [`Outcome`].
    what: u32,
    epoch: u64,
    number: u64,
}
