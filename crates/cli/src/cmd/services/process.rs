//! Batches are computed by a process of the server's own, over shared memory.
//!
//! Messages and answers are in a file without a name that both processes have (a memfd): a message at its beginning, its answer behind the
//! place for the longest message. A socket says how long they are, and so whose turn it is. Unlike an eventfd it also says at once when the
//! other end has died: then its process is started anew, and when the last of the two has ended, the system has taken back all that they
//! shared.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use engine::{Answer, Courier, Executor, ExecutorHost};
use rustix::fs::MemfdFlags;
use serve::services::{Elsewhere, Ledger};
use whinchat::Prepared;

use super::{origin, resident_bytes_of};

/// Where answers begin. What nobody writes takes no memory.
const ANSWERS: u64 = 1 << 30;

/// How long a model's way into memory may take.
const LOADING: Duration = Duration::from_secs(600);

/// The file that both processes have.
struct Shared(File);

impl Shared {
    fn new() -> io::Result<Shared> {
        Ok(Shared(rustix::fs::memfd_create("whinchat", MemfdFlags::CLOEXEC)?.into()))
    }

    fn write(&self, place: u64, parts: [&[u8]; 2]) -> io::Result<u64> {
        let [first, second] = parts.map(|part| part.len() as u64);
        if first + second > ANSWERS {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.write_all_at(parts[0], place)?;
        self.0.write_all_at(parts[1], place + first)?;
        Ok(first + second)
    }
}

/// Hears how many bytes are there now.
fn receive(socket: &mut UnixStream) -> io::Result<usize> {
    let mut length = [0; 8];
    socket.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let length = usize::try_from(length).ok().filter(|_| length <= ANSWERS);
    length.ok_or(io::ErrorKind::InvalidData.into())
}

/// What is told of the process that computes.
pub(super) struct Worker {
    ledger: Ledger,
    /// Its number while it lives; 0 if it does not.
    id: AtomicU32,
}

impl Worker {
    /// Of a process, which this word stands for.
    pub(super) fn new(word: &str) -> Worker {
        Worker { ledger: Ledger::new("compute", word.to_owned()), id: AtomicU32::new(0) }
    }
}

impl Elsewhere for Worker {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn resident_bytes(&self) -> Option<u64> {
        resident_bytes_of(&self.id.load(Ordering::Relaxed).to_string())
    }
}

/// A process that computes; it is started anew when it has died, and ends with this value.
pub(super) struct Process {
    command: Command,
    shared: Shared,
    worker: Arc<Worker>,
    /// How long a batch may take.
    patience: Duration,
    running: Option<Running>,
}

struct Running {
    child: Child,
    socket: UnixStream,
    /// Whether its model is in memory.
    has_answered: bool,
}

impl Drop for Running {
    /// It has nothing to finish: whoever waits for it is gone.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a process that computes this model: this program, with the words that this process was started with.
///
/// # Errors
/// If it cannot be started.
pub(super) fn start(prepared: &Prepared, worker: Arc<Worker>, patience: Duration) -> anyhow::Result<Process> {
    let program = std::env::current_exe().context("--compute process: where this program is")?;
    let mut command = Command::new(program);
    command.args(["service", "compute", "--over-shared-memory"]).args(std::env::args_os().skip(2));
    // What was found out from the memory that is left is not to be found out again.
    command.env("WHINCHAT_CONTEXT", prepared.context.to_string());
    let tokens = prepared.limits.kv_blocks * prepared.limits.block_len;
    command.env("WHINCHAT_KV_TOKENS", tokens.to_string());
    // Ctrl-C at a terminal is for the server: it finishes open answers first.
    command.process_group(0);
    let shared = Shared::new().context("--compute process: shared memory")?;
    let mut process = Process { command, shared, worker, patience, running: None };
    process.running().context("--compute process")?;
    Ok(process)
}

impl Process {
    /// The process that runs, or a new one.
    fn running(&mut self) -> io::Result<&mut Running> {
        let running = match self.running.take() {
            Some(running) => running,
            None => self.spawn()?,
        };
        Ok(self.running.insert(running))
    }

    fn spawn(&mut self) -> io::Result<Running> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(LOADING.max(self.patience)))?;
        self.command.stdin(Stdio::from(OwnedFd::from(theirs)));
        self.command.stdout(Stdio::from(OwnedFd::from(self.shared.0.try_clone()?)));
        let child = self.command.spawn();
        // This end of what the child has would keep it from hearing that this process has ended, and this one from hearing of it.
        self.command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = child?;
        tracing::info!(process = child.id(), "a process computes");
        self.worker.id.store(child.id(), Ordering::Relaxed);
        Ok(Running { child, socket, has_answered: false })
    }

    fn exchange(&mut self, message: &[u8], answer: &mut Answer) -> io::Result<()> {
        self.shared.write(0, [message, &[]])?;
        let patience = self.patience;
        let Running { socket, has_answered, .. } = self.running()?;
        socket.write_all(&(message.len() as u64).to_le_bytes())?;
        let length = receive(socket)?;
        if !std::mem::replace(has_answered, true) {
            socket.set_read_timeout(Some(patience))?;
        }
        self.shared.0.read_exact_at(answer.place(length), ANSWERS)
    }

    /// What became of the process, in words; it has ended then.
    fn end(&mut self, error: &io::Error) -> String {
        let Some(mut running) = self.running.take() else { return format!("it cannot be started: {error}") };
        self.worker.id.store(0, Ordering::Relaxed);
        let _ = running.child.kill();
        match (error.kind(), running.child.wait()) {
            (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, _) => {
                format!("it has not answered for {} seconds", self.patience.as_secs_f64())
            }
            (_, Ok(status)) => format!("it has ended ({status})"),
            (..) => format!("it has ended ({error})"),
        }
    }
}

impl Courier for Process {
    fn carry(&mut self, message: &[u8], answer: &mut Answer) -> Result<(), String> {
        let began = Instant::now();
        let outcome = self.exchange(message, answer).map_err(|error| self.end(&error));
        let received = if outcome.is_ok() { answer.bytes().len() } else { 0 };
        self.worker.ledger.asked_at(began, (message.len(), received), outcome.is_ok());
        outcome.inspect_err(|why| {
            tracing::error!("the process that computes was lost: {why}; it is started anew");
            self.worker.ledger.failed(why.clone());
        })
    }

    fn doubt(&mut self, why: &str) {
        self.worker.ledger.failed(why.to_owned());
    }

    fn name(&self) -> String {
        self.worker.ledger.title()
    }
}

/// Answers the process that has started this one, until it ends.
///
/// # Errors
/// If the model cannot be loaded, or this process was not started for this.
pub(super) fn answer<E: Executor>(make: impl FnOnce() -> anyhow::Result<E>) -> anyhow::Result<()> {
    let wrong = "--over-shared-memory is for a process that whinchat serve --compute process has started";
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().context(wrong)?);
    socket.local_addr().context(wrong)?;
    let shared = Shared(File::from(io::stdout().as_fd().try_clone_to_owned().context(wrong)?));
    let mut host = ExecutorHost::new(make()?, origin());
    let mut message = Vec::new();
    while let Ok(length) = receive(&mut socket) {
        message.resize(length, 0);
        shared.0.read_exact_at(&mut message, 0)?;
        let written = host.answer_in_parts(&message, |head, logits| shared.write(ANSWERS, [head, logits]))?;
        socket.write_all(&written.to_le_bytes())?;
    }
    Ok(())
}
