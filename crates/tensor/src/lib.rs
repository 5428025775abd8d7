//! Numbers at rest: data types, weight shapes and the scalar codecs of the quantized block formats.
//!
//! Architecture invariant: this crate knows nothing of files, graphs, threads or devices.

mod codec;
mod dtype;
mod shape;

pub use codec::{CodecError, Decoder, Encoder, codebook, decode, decoder, encode, encoder};
pub use dtype::{DType, Layout, OWN_TYPES};
pub use shape::Shape;
