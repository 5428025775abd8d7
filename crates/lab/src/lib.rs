//! The quantization lab: a model in, another one out, with what it cost. Conversion is its first part.
//!
//! Architecture invariant: this crate knows nothing of servers and schedulers.

mod convert;
mod error;

pub use convert::{ConvertOptions, Converted, Progress, convert};
pub use error::Error;
