//! How a graph runs fast: the CPU backend, its kernels chosen at run time, and its thread pool.
//!
//! Architecture invariant: this crate knows nothing of models, requests, the policy of the KV cache or tokenizers. It
//! holds the workspace's only `unsafe` besides the memory map of `model`.
//!
//! Numbers do not depend on company: each output element is reduced in an order that its length alone decides, so rows
//! get the same bits alone or in a batch, on any number of threads, whole or in chunks. Two instruction sets may differ.

mod cpu;

pub use cpu::{Cpu, CpuOptions, Isa, Program, Weight};
