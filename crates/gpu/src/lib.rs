//! The GPU as a backend: the operators in WGSL, through wgpu (Metal, Vulkan, DX12).
//!
//! Architecture invariant: this crate knows nothing of models, requests, the policy of the KV cache or tokenizers.
//!
//! Without the feature `device` it is empty.
#![cfg(feature = "device")]

mod batch;
mod budget;
mod buffers;
mod call;
mod form;
mod formats;
mod gpu;
mod heap;
mod kept;
mod kernel;
mod lower;
mod matrix;
mod measure;
mod memories;
mod pipelines;
mod program;
mod scratch;
mod staging;
mod weight;

pub use call::Unsupported;
pub use formats::supported as supported_types;
pub use gpu::{Adapter, Gpu, OpenError, adapters};
pub use heap::{Heap, Place};
pub use kernel::{Kernel, all as kernels};
pub use matrix::Multiplier;
pub use measure::Speed;
pub use program::{Program, Took};
pub use weight::Weight;
