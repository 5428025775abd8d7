//! The CPU backend: kernels for several instruction sets, chosen at run time, and a thread pool.
//!
//! Architecture invariant: this crate knows nothing of models, requests, the policy of the KV cache or tokenizers. It
//! holds the workspace's only `unsafe` besides the memory map of `model`. It maps files of packed weights; what is in them besides, and
//! where they are, others know.
//!
//! Batch invariance: the order of every reduction depends on its length alone. So a row gets the same bits alone or in a batch, on
//! any number of threads, whole or in chunks. Two instruction sets may differ.

mod cpu;
mod heap;
mod machine;

pub use cpu::{
    Choice, Cpu, CpuOptions, Isa, Kernel, NodeTime, PackedFile, Program, RowClass, StepTime, Tuning, UnknownKernel,
    Weight,
};
pub use heap::limit_heap_arenas;
pub use machine::Machine;
