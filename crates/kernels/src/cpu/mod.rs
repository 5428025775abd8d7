//! The CPU as a backend.

mod codecs;
mod cores;
mod memory;
mod named;
mod ops;
mod pool;
mod program;
mod simd;
#[cfg(test)]
mod tests;
mod tiles;
mod tuning;
mod turns;
mod weight;

use std::num::NonZero;
use std::sync::{Arc, Mutex};

use graph::{Backend, BackendError, Batch, Device, Graph, Layout, Limits, MemoryPart, WeightInfo};

pub use memory::PackedFile;
pub use named::{Kernel, RowClass, UnknownKernel};
pub use program::Program;
pub use simd::Isa;
pub use tuning::{Choice, NodeTime, StepTime, Tuning};
pub use weight::Weight;

use memory::SlabAllocator;
use ops::activations_q8;
use pool::{Pool, lock};
use simd::{LANES, Vector};
use turns::Turns;

/// How the CPU is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads that compute; `None` for as many as the system offers.
    pub threads: Option<usize>,
    /// Binds each thread to a core of its own, including those that call [`Backend::run`], which share one.
    pub pin: bool,
    /// Kernels to use; `None` for the best this machine has. They are also used if the machine lacks the ones named.
    pub isa: Option<Isa>,
}

/// The CPU: a thread pool and the kernels of one instruction set. Clones share the pool, so that several models use the same
/// cores: their steps take turns.
#[derive(Clone, Debug)]
pub struct Cpu {
    shared: Arc<SharedPool>,
    vector: Vector,
}

/// A thread pool for several models.
#[derive(Debug)]
struct SharedPool {
    turns: Turns,
    /// Locked in its turn for a whole step: nothing in the step takes a lock.
    pool: Mutex<Pool>,
    threads: usize,
    /// Allocates weights.
    allocator: SlabAllocator,
}

impl Cpu {
    /// Chooses the kernels and starts the threads; fewer of them if the system refuses some.
    pub fn new(options: CpuOptions) -> Cpu {
        let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        let vector = Vector::new(options.isa.unwrap_or_else(Isa::detect));
        let cores = if options.pin { cores::all() } else { vec![] };
        let pool = Pool::new(threads.max(1), &cores);
        let (turns, threads, allocator) = (Turns::default(), pool.threads(), SlabAllocator::default());
        Cpu { shared: Arc::new(SharedPool { turns, pool: Mutex::new(pool), threads, allocator }), vector }
    }

    /// What every CPU backend says about itself. Values begin on cache lines, and so do the scores of a block of positions.
    pub const DEVICE: Device = Device {
        rules: graph::rules(),
        layout: Layout { align: LANES, q8_words: activations_q8::words, block_align: LANES },
        adapts: true,
        top: 0,
    };

    /// Threads that compute, the one that calls [`Backend::run`] counted.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// The kernels in use.
    pub fn isa(&self) -> Isa {
        self.vector.isa()
    }

    /// Calls `work` with the pool when it is this caller's turn.
    fn with_pool<T>(&self, work: impl FnOnce(&Pool) -> T) -> T {
        let _turn = self.shared.turns.wait();
        work(&lock(&self.shared.pool))
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

    fn device(&self) -> Device {
        Cpu::DEVICE
    }

    fn upload(&self, info: &WeightInfo, bytes: &[u8]) -> Result<Weight, BackendError> {
        self.with_pool(|pool| Weight::new((pool, &self.shared.allocator), info, bytes))
    }

    fn compile(&self, graph: &Graph, weights: Vec<Arc<Weight>>, limits: Limits) -> Result<Program, BackendError> {
        Program::new(graph, weights, limits, (self.threads(), self.vector))
    }

    fn run(&self, program: &mut Program, batch: &Batch) -> Result<(), BackendError> {
        self.with_pool(|pool| program.run(pool, self.vector, batch))
    }

    fn download<'p>(&self, program: &'p Program) -> &'p [f32] {
        program.output()
    }

    fn forget(&self, program: &mut Program, blocks: &[u32]) {
        program.forget(blocks);
    }

    fn forget_states(&self, program: &mut Program, slots: &[u32]) {
        program.forget_states(slots);
    }

    fn spread(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        let turn = self.shared.turns.take();
        turn.map(|_turn| lock(&self.shared.pool).run(tasks, &|_, task| work(task))).is_some()
    }

    fn is_shared(&self) -> bool {
        self.shared.turns.are_shared()
    }

    fn save(&self, program: &Program, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        program.save(part, bytes)
    }

    fn load(&self, program: &mut Program, part: MemoryPart, bytes: &[u8]) -> bool {
        program.load(part, bytes)
    }
}
