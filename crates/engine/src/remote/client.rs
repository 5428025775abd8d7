//! The near end: an executor that sends its batches away.

use std::sync::Arc;

use graph::Batch;

use super::bytes::{Reader, Writer};
use super::{Answer, Header, Kind, Outcome};
use crate::executor::Alone;
use crate::{Executor, ExecutorError, ExecutorLimits, Spread};

/// Carries a message to who computes, and brings the answer. It waits as long as it thinks right, and never for ever.
pub trait Courier: Send {
    /// Replaces `answer` by the answer to `message`.
    ///
    /// # Errors
    /// If there was none. Whether the message was received is not known then.
    fn carry(&mut self, message: &[u8], answer: &mut Answer) -> Result<(), String>;

    /// The last answer was of no use.
    fn doubt(&mut self, _why: &str) {}

    /// Who computes, and where, for people: `the computation manager at http://…`.
    fn name(&self) -> String;
}

/// An executor whose batches are computed by whoever is at the other end of a courier. If that is lost, so is what it kept of sequences:
/// the batch fails as [`ExecutorError::Lost`], and the next one begins a new epoch.
pub struct RemoteExecutor<C> {
    courier: C,
    limits: ExecutorLimits,
    fingerprint: [u8; 32],
    /// The epoch, and the messages in it so far; none after the other end was lost.
    epoch: Option<(u64, u64)>,
    /// Threads of this process, which have nothing else to do.
    spread: Option<Arc<dyn Spread>>,
    message: Vec<u8>,
    answer: Answer,
}

impl<C: Courier> RemoteExecutor<C> {
    /// Begins an epoch, and learns what can be computed.
    ///
    /// # Errors
    /// If nobody answers, or not as an executor does.
    pub fn connect(courier: C) -> Result<RemoteExecutor<C>, ExecutorError> {
        let limits =
            ExecutorLimits { max_tokens: 0, max_outputs: 0, kv_blocks: 0, block_len: 0, state_slots: 0, vocab: 0 };
        let (fingerprint, epoch) = ([0; 32], None);
        let (spread, message, answer) = Default::default();
        let mut executor = RemoteExecutor { courier, limits, fingerprint, epoch, spread, message, answer };
        (executor.limits, executor.fingerprint) = executor.hello()?;
        Ok(executor)
    }

    /// Tokens are chosen on these threads of this process.
    #[must_use]
    pub fn with_spread(self, spread: Arc<dyn Spread>) -> RemoteExecutor<C> {
        RemoteExecutor { spread: Some(spread), ..self }
    }

    /// Begins an epoch.
    fn hello(&mut self) -> Result<(ExecutorLimits, [u8; 32]), ExecutorError> {
        Writer(&mut self.message).header(Header { what: Kind::Hello as u32, epoch: 0, number: 0 });
        let (header, at) = self.exchange()?;
        self.epoch = Some((header.epoch, 0));
        Reader(&self.answer.bytes()[at..]).limits().map_err(|why| self.doubted(&why.to_string()))
    }

    /// The epoch that lasts, or a new one. After a loss the other end must be what it was before.
    fn epoch(&mut self) -> Result<(), ExecutorError> {
        if self.epoch.is_some() {
            return Ok(());
        }
        let (limits, fingerprint) = self.hello()?;
        if (limits, fingerprint) == (self.limits, self.fingerprint) {
            return Ok(());
        }
        Err(self.doubted("it computes another model than before, or in another memory: start it as it was"))
    }

    /// The header of the next message.
    fn next(&mut self, kind: Kind) -> Header {
        let (epoch, number) = self.epoch.map_or((0, 0), |(epoch, number)| (epoch, number + 1));
        self.epoch = Some((epoch, number));
        Header { what: kind as u32, epoch, number }
    }

    /// Sends the message and reads the answer's header; gives where its contents begin.
    fn exchange(&mut self) -> Result<(Header, usize), ExecutorError> {
        let RemoteExecutor { courier, message, answer, .. } = self;
        courier.carry(message, answer).map_err(|why| self.lost(&why))?;
        let mut reader = Reader(self.answer.bytes());
        let header = reader.header();
        let (rest, at) = (reader.0, self.answer.bytes().len() - reader.0.len());
        let is_done = header.as_ref().is_ok_and(|header| header.what == Outcome::Done as u32);
        // What was done is no text, and long.
        let text = if is_done { String::new() } else { String::from_utf8_lossy(rest).into_owned() };
        let header = header.map_err(|why| self.doubted(&why.to_string()))?;
        let expected = self.epoch.is_none_or(|expected| expected == (header.epoch, header.number));
        match Outcome::of(header.what) {
            Some(Outcome::Done) if expected => Ok((header, at)),
            Some(Outcome::Batch) if expected => Err(ExecutorError::Batch(text)),
            Some(Outcome::Broken) => Err(ExecutorError::Broken(text)),
            Some(Outcome::Refused) => Err(self.doubted(&text)),
            Some(Outcome::Done | Outcome::Batch) => Err(self.doubted("it answers another message than was sent")),
            None => Err(self.doubted("its answer is none of an executor")),
        }
    }

    fn doubted(&mut self, why: &str) -> ExecutorError {
        self.courier.doubt(why);
        self.lost(why)
    }

    fn lost(&mut self, why: &str) -> ExecutorError {
        self.epoch = None;
        ExecutorError::Lost(format!("{} was lost: {why}", self.courier.name()))
    }

    /// Tells the other end what it need not keep. Where that fails, the next batch will say so.
    fn tell(&mut self, kind: Kind, numbers: &[u32]) {
        if self.epoch.is_some() {
            let header = self.next(kind);
            let mut writer = Writer(&mut self.message);
            writer.header(header);
            writer.numbers(numbers);
            let _ = self.exchange();
        }
    }

    /// Computes a batch; gives where its logits begin in the answer.
    fn compute(&mut self, batch: &Batch) -> Result<usize, ExecutorError> {
        self.epoch()?;
        let header = self.next(Kind::Forward);
        let mut writer = Writer(&mut self.message);
        writer.header(header);
        writer.batch(batch);
        let (_, at) = self.exchange()?;
        let wanted = batch.outputs.len() * self.limits.vocab;
        match self.answer.numbers(at) {
            Some(given) if given == wanted => Ok(at),
            Some(given) => Err(self.doubted(&format!("it gave {given} logits where {wanted} are due"))),
            None => Err(self.doubted("the logits end within a number")),
        }
    }
}

impl<C: Courier> Executor for RemoteExecutor<C> {
    fn limits(&self) -> ExecutorLimits {
        self.limits
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        let at = self.compute(batch)?;
        Ok(self.answer.floats(at))
    }

    fn forget(&mut self, blocks: &[u32]) {
        self.tell(Kind::Forget, blocks);
    }

    fn forget_states(&mut self, slots: &[u32]) {
        self.tell(Kind::ForgetStates, slots);
    }

    fn spread(&self) -> Arc<dyn Spread> {
        self.spread.clone().unwrap_or_else(|| Arc::new(Alone))
    }

    fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}
