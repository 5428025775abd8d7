//! Scalar codecs: blocks to `f32` and back, agreeing bit for bit with the PyPI package `gguf`.

use crate::DType;

/// Why bytes could not be decoded or values not encoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    /// The lengths of the two sides do not describe the same whole blocks.
    #[error("{dtype}: {bytes} bytes do not hold {values} values (blocks of {} values in {} bytes)", dtype.layout().block_len, dtype.layout().block_bytes)]
    Length {
        /// The type asked for.
        dtype: DType,
        /// Bytes given.
        bytes: usize,
        /// Values given or wanted.
        values: usize,
    },
    /// There is no encoder for the type.
    #[error("there is no encoder for {0}; encode to F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1")]
    NoEncoder(DType),
}

/// Decodes whole blocks of `dtype` into `out`.
///
/// # Errors
/// [`CodecError::Length`] if `bytes` is not exactly `out.len()` elements in whole blocks.
pub fn decode(dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<(), CodecError> {
    let _ = (dtype, bytes, out);
    todo!()
}

/// Encodes `values` to whole blocks of `dtype`.
///
/// # Errors
/// [`CodecError::Length`] if the lengths do not agree, [`CodecError::NoEncoder`] if the type can only be read.
pub fn encode(dtype: DType, values: &[f32], bytes: &mut [u8]) -> Result<(), CodecError> {
    let _ = (dtype, bytes, values);
    todo!()
}
