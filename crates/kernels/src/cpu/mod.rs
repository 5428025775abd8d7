//! The CPU as a backend.

mod codecs;
mod cores;
mod memory;
mod ops;
mod pool;
mod program;
mod simd;
#[cfg(test)]
mod tests;
mod tiles;
mod weight;

use std::num::NonZero;
use std::sync::Mutex;

use graph::{Backend, BackendError, Batch, Graph, Limits, WeightId};

pub use ops::KvType;
pub use program::Program;
pub use simd::Isa;
pub use weight::Weight;

use memory::Shelf;
use pool::{Pool, lock};
use simd::Vector;

/// How the CPU is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads that compute; `None` for as many as the system offers.
    pub threads: Option<usize>,
    /// Binds each thread to a core of its own, the one that calls [`Backend::run`] too.
    pub pin: bool,
    /// Kernels to use; `None` for the best this machine has, as also if it lacks the ones named.
    pub isa: Option<Isa>,
    /// How the KV cache is stored.
    pub kv: KvType,
}

/// The CPU: a pool of threads and the kernels of one instruction set.
#[derive(Debug)]
pub struct Cpu {
    /// Held for a step: nothing in it takes a lock.
    pool: Mutex<Pool>,
    threads: usize,
    /// Where weights are put.
    shelf: Shelf,
    vector: Vector,
    kv: KvType,
}

impl Cpu {
    /// Chooses the kernels and starts the threads; where the system refuses threads, fewer.
    pub fn new(options: CpuOptions) -> Cpu {
        let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        let vector = Vector::new(options.isa.unwrap_or_else(Isa::detect));
        let cores = if options.pin { cores::all() } else { vec![] };
        let pool = Pool::new(threads.max(1), &cores);
        Cpu { threads: pool.threads(), pool: Mutex::new(pool), shelf: Shelf::default(), vector, kv: options.kv }
    }

    /// Threads that compute, the one that calls [`Backend::run`] counted.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The kernels in use.
    pub fn isa(&self) -> Isa {
        self.vector.isa()
    }
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu::new(CpuOptions::default())
    }
}

impl Backend for Cpu {
    type Weight = Weight;
    type Program = Program;

    fn upload(&self, graph: &Graph, id: WeightId, bytes: &[u8]) -> Result<Weight, BackendError> {
        Weight::new((&lock(&self.pool), &self.shelf), graph, id, bytes)
    }

    fn compile(&self, graph: &Graph, weights: Vec<Weight>, limits: Limits) -> Result<Program, BackendError> {
        Program::new(graph, weights, limits, self.kv, self.threads)
    }

    fn run(&self, program: &mut Program, batch: &Batch) -> Result<(), BackendError> {
        program.run(&lock(&self.pool), self.vector, batch)
    }

    fn download<'p>(&self, program: &'p Program) -> &'p [f32] {
        program.logits()
    }
}
