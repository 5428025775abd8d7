//! The far end: answers messages with an executor of this process.

use graph::{Batch, Span};

use super::bytes::{Reader, Writer, bytes_of};
use super::{Header, Kind, Malformed, Outcome};
use crate::panics::catch;
use crate::{Executor, ExecutorError, ExecutorLimits};

/// An executor that computes what messages ask for. One engine uses it at a time: a hello begins an epoch for another one, and the
/// messages of the one before are refused.
pub struct ExecutorHost<E> {
    executor: E,
    /// Epochs are told apart from those of an earlier process by where they begin.
    epoch: u64,
    number: u64,
    /// Batches computed, and rows in them.
    computed: (u64, u64),
    last: Batch,
}

/// What a sequence has computed in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSpan {
    /// Its rows.
    pub rows: usize,
    /// The position of the first of them.
    pub position: usize,
    /// Its block table.
    pub blocks: Vec<u32>,
    /// The slot of its recurrent state.
    pub state: Option<u32>,
}

/// An answer before it is written.
type Told<'a> = Result<Done<'a>, (Outcome, String)>;

/// What was asked for.
enum Done<'a> {
    Limits(ExecutorLimits, [u8; 32]),
    Logits(&'a [f32]),
    Nothing,
}

impl<E: Executor> ExecutorHost<E> {
    /// A host whose epochs begin after `origin`, which no other process has had: the time, for example.
    pub fn new(executor: E, origin: u64) -> ExecutorHost<E> {
        ExecutorHost { executor, epoch: origin, number: 0, computed: (0, 0), last: Batch::default() }
    }

    /// Replaces `answer` by the answer to `message`, whatever that is.
    pub fn answer(&mut self, message: &[u8], answer: &mut Vec<u8>) {
        answer.clear();
        self.answer_in_parts(message, |head, logits| {
            answer.extend_from_slice(head);
            answer.extend_from_slice(logits);
        });
    }

    /// As [`ExecutorHost::answer`], in two parts of which the second may be long: logits, which stay where they were computed.
    pub fn answer_in_parts<T>(&mut self, message: &[u8], send: impl FnOnce(&[u8], &[u8]) -> T) -> T {
        let mut reader = Reader(message);
        let header = match reader.header() {
            Ok(header) => header,
            Err(why) => return write((self.epoch, self.number), Err((Outcome::Refused, why.to_string())), send),
        };
        if let Err(why) = self.take(header) {
            return write((self.epoch, header.number), Err((Outcome::Refused, why)), send);
        }
        let stamp = (self.epoch, self.number);
        write(stamp, self.obey(header, reader), send)
    }

    /// What it computes with.
    pub fn executor(&self) -> &E {
        &self.executor
    }

    /// The epoch, the messages in it, and the batches and rows computed in all.
    pub fn counts(&self) -> [u64; 4] {
        [self.epoch, self.number, self.computed.0, self.computed.1]
    }

    /// What each sequence of the last batch has computed, and where.
    pub fn last(&self) -> Vec<LastSpan> {
        let span = |span: &Span| LastSpan {
            rows: span.rows.len(),
            position: span.position,
            blocks: self.last.blocks.get(span.table.clone()).unwrap_or_default().to_vec(),
            state: span.state,
        };
        self.last.spans.iter().map(span).collect()
    }

    /// Computes these sequences from their first tokens, in an epoch of their own: whoever has used the host begins anew. Gives the logits
    /// after the last token of each.
    ///
    /// # Errors
    /// If they are no batch that it can compute.
    pub fn try_out(&mut self, sequences: &[Vec<u32>]) -> Result<&[f32], ExecutorError> {
        let limits = self.executor.limits();
        let (mut batch, mut block) = (Batch::default(), 0);
        for (tokens, slot) in sequences.iter().zip(0..) {
            let blocks = tokens.len().div_ceil(limits.block_len.max(1)) as u32;
            let state = (limits.state_slots > 0).then_some(slot);
            let rows = batch.push_with_state(tokens, 0, block..block + blocks, state);
            batch.outputs.extend(rows.last().map(|row| row as u32));
            block += blocks;
        }
        (self.epoch, self.number) = (self.epoch + 1, 0);
        self.last = batch;
        self.compute().map_err(|(_, why)| ExecutorError::Batch(why)).map(|done| match done {
            Done::Logits(logits) => logits,
            Done::Limits(..) | Done::Nothing => &[],
        })
    }

    /// Takes the next message of this epoch, or a hello.
    fn take(&mut self, Header { what, epoch, number }: Header) -> Result<(), String> {
        if Kind::of(what) == Some(Kind::Hello) {
            (self.epoch, self.number) = (self.epoch + 1, 0);
            return Ok(());
        }
        if epoch != self.epoch {
            return Err(format!(
                "the message is of epoch {epoch} and this is epoch {}: the process was started anew, or another server uses it",
                self.epoch
            ));
        }
        if number != self.number + 1 {
            return Err(format!("message {number} of the epoch comes after message {}", self.number));
        }
        self.number = number;
        Ok(())
    }

    fn obey(&mut self, header: Header, mut reader: Reader<'_>) -> Told<'_> {
        let refused = |why: Malformed| (Outcome::Refused, why.to_string());
        match Kind::of(header.what) {
            Some(Kind::Hello) => Ok(Done::Limits(self.executor.limits(), self.executor.fingerprint())),
            Some(Kind::Forward) => {
                self.last = reader.batch().map_err(refused)?;
                self.compute()
            }
            Some(Kind::Forget) => {
                let blocks = known(reader.numbers("the blocks").map_err(refused)?, self.executor.limits().kv_blocks)?;
                self.executor.forget(&blocks);
                Ok(Done::Nothing)
            }
            Some(Kind::ForgetStates) => {
                let slots = known(reader.numbers("the slots").map_err(refused)?, self.executor.limits().state_slots)?;
                self.executor.forget_states(&slots);
                Ok(Done::Nothing)
            }
            None => Err((Outcome::Refused, format!("there is no message of kind {}", header.what))),
        }
    }

    fn compute(&mut self) -> Told<'_> {
        let ExecutorHost { executor, last, computed, .. } = self;
        *computed = (computed.0 + 1, computed.1 + last.tokens.len() as u64);
        let wanted = last.outputs.len().saturating_mul(executor.limits().vocab);
        let outcome = catch(move || executor.forward(last));
        match outcome {
            Ok(Ok(logits)) if logits.len() >= wanted => Ok(Done::Logits(&logits[..wanted])),
            Ok(Ok(logits)) => Err((Outcome::Batch, format!("{} logits where {wanted} are due", logits.len()))),
            Ok(Err(ExecutorError::Batch(why) | ExecutorError::Lost(why))) => Err((Outcome::Batch, why)),
            Ok(Err(ExecutorError::Broken(why))) => Err((Outcome::Broken, why)),
            Err(panicked) => Err((Outcome::Batch, format!("the executor panicked: {panicked}"))),
        }
    }
}

/// Numbers in ascending order, each below `end`.
fn known(numbers: Vec<u32>, end: usize) -> Result<Vec<u32>, (Outcome, String)> {
    let possible = numbers.is_sorted_by(|a, b| a < b) && numbers.last().is_none_or(|last| (*last as usize) < end);
    let wrong = || (Outcome::Refused, format!("what is to be forgotten are no ascending numbers below {end}"));
    if possible { Ok(numbers) } else { Err(wrong()) }
}

fn write<T>((epoch, number): (u64, u64), told: Told<'_>, send: impl FnOnce(&[u8], &[u8]) -> T) -> T {
    let (mut head, mut logits) = (Vec::new(), &[][..]);
    let mut writer = Writer(&mut head);
    let what = told.as_ref().err().map_or(Outcome::Done, |(outcome, _)| *outcome) as u32;
    writer.header(Header { what, epoch, number });
    match told {
        Ok(Done::Limits(limits, fingerprint)) => writer.limits(&limits, fingerprint),
        Ok(Done::Logits(computed)) => logits = computed,
        Ok(Done::Nothing) => {}
        Err((_, why)) => writer.text(&why),
    }
    send(&head, &bytes_of(logits))
}
