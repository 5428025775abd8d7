//! Scalar codecs: blocks to `f32` and back, agreeing bit for bit with the PyPI package `gguf` on the types that it has.

pub mod codebook;
mod grids;
mod iq;
mod k;
mod k_encode;
mod lookup;
mod plain;
mod rows;
mod search;
mod simple;
mod sparse;
mod ternary;

use crate::{DType, Layout};

/// Decodes any number of whole blocks of one type, or of whole rows where a row has something in front of its blocks: the lengths say how
/// many. Bytes and values beyond the last block both sides hold are left alone, and rows that are not whole.
pub type Decoder = fn(&[u8], &mut [f32]);

/// Encodes any number of whole blocks or rows of one type, under the same rule as [`Decoder`].
pub type Encoder = fn(&[f32], &mut [u8]);

/// Why bytes could not be decoded or values not encoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    /// The lengths of the two sides do not describe the same whole blocks, or rows of them.
    #[error("{dtype}: {bytes} bytes do not hold {values} values ({})", blocks(*dtype))]
    Length {
        /// The type asked for.
        dtype: DType,
        /// Bytes given.
        bytes: usize,
        /// Values given or wanted.
        values: usize,
    },
    /// Files of this type are read only: what makes good ones needs to know how the model uses each weight.
    #[error("{dtype} can be read, not written")]
    ReadOnly {
        /// The type asked for.
        dtype: DType,
    },
}

fn blocks(dtype: DType) -> String {
    let Layout { block_len, block_bytes, row_head, .. } = dtype.layout();
    let blocks = format!("blocks of {block_len} values in {block_bytes} bytes");
    if *row_head == 0 { blocks } else { format!("{blocks}, {row_head} more for each row") }
}

/// Decodes whole blocks of `dtype` into `out`; whole rows, all as long, where rows have something in front of their blocks.
///
/// # Errors
/// [`CodecError::Length`] if `bytes` is not exactly `out.len()` elements in whole blocks or rows.
pub fn decode(dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<(), CodecError> {
    check_lengths(dtype, bytes.len(), out.len())?;
    decoder(dtype)(bytes, out);
    Ok(())
}

/// Encodes `values` to whole blocks of `dtype`; to rows, all as long, where rows have something in front of their blocks.
///
/// # Errors
/// [`CodecError::Length`] if the lengths do not agree, [`CodecError::ReadOnly`] if there is no encoder.
pub fn encode(dtype: DType, values: &[f32], bytes: &mut [u8]) -> Result<(), CodecError> {
    check_lengths(dtype, bytes.len(), values.len())?;
    encoder(dtype).ok_or(CodecError::ReadOnly { dtype })?(values, bytes);
    Ok(())
}

/// The decoder of a type, for loops that have checked their lengths.
pub fn decoder(dtype: DType) -> Decoder {
    codec(dtype).0
}

/// The encoder of a type, for loops that have checked their lengths; `None` for a type that is only read.
pub fn encoder(dtype: DType) -> Option<Encoder> {
    codec(dtype).1
}

fn check_lengths(dtype: DType, bytes: usize, values: usize) -> Result<(), CodecError> {
    dtype.rows(bytes, values).map(|_| ()).ok_or(CodecError::Length { dtype, bytes, values })
}

/// The table of codecs.
fn codec(dtype: DType) -> (Decoder, Option<Encoder>) {
    fn both(decode: Decoder, encode: Encoder) -> (Decoder, Option<Encoder>) {
        (decode, Some(encode))
    }
    match dtype {
        DType::F32 => both(plain::decode_f32, plain::encode_f32),
        DType::F16 => both(plain::decode_f16, plain::encode_f16),
        DType::BF16 => both(plain::decode_bf16, plain::encode_bf16),
        DType::Q8_0 => both(simple::decode_q8_0, simple::encode_q8_0),
        DType::Q4_0 => both(simple::decode_q4_0, simple::encode_q4_0),
        DType::Q4_1 => both(simple::decode_q4_1, simple::encode_q4_1),
        DType::Q5_0 => both(simple::decode_q5_0, simple::encode_q5_0),
        DType::Q5_1 => both(simple::decode_q5_1, simple::encode_q5_1),
        DType::Q2_K => both(k::decode_q2, k_encode::encode_q2),
        DType::Q3_K => both(k::decode_q3, k_encode::encode_q3),
        DType::Q4_K => both(k::decode_q4, k_encode::encode_q4),
        DType::Q5_K => both(k::decode_q5, k_encode::encode_q5),
        DType::Q6_K => both(k::decode_q6, k_encode::encode_q6),
        DType::IQ4_NL => both(lookup::decode_iq4_nl, lookup::encode_iq4_nl),
        DType::IQ4_XS => both(lookup::decode_iq4_xs, lookup::encode_iq4_xs),
        DType::MXFP4 => both(lookup::decode_mxfp4, lookup::encode_mxfp4),
        DType::NVFP4 => (lookup::decode_nvfp4, None),
        DType::IQ1_S => (iq::decode_iq1_s, None),
        DType::IQ1_M => (iq::decode_iq1_m, None),
        DType::IQ2_XXS => (iq::decode_iq2_xxs, None),
        DType::IQ2_XS => (iq::decode_iq2_xs, None),
        DType::IQ2_S => (iq::decode_iq2_s, None),
        DType::IQ3_XXS => (iq::decode_iq3_xxs, None),
        DType::IQ3_S => (iq::decode_iq3_s, None),
        DType::TQ1_0 => (ternary::decode_tq1_0, None),
        DType::TQ2_0 => (ternary::decode_tq2_0, None),
        DType::Q1_0 => (ternary::decode_q1_0, None),
        DType::Q2_0 => (ternary::decode_q2_0, None),
        DType::Q4_2OF4 => both(sparse::decode_q4_2of4, sparse::encode_q4_2of4),
        DType::Q8_ROW => both(rows::decode_q8_row, rows::encode_q8_row),
    }
}

/// Runs `decode` on each block of `BYTES` bytes and its `LEN` values. Arrays instead of slices let the compiler drop
/// bounds checks and vectorize.
#[inline(always)]
fn each_block<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (block, values) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        decode(block, values);
    }
}

/// Runs `encode` on each `LEN` values and their block of `BYTES` bytes.
#[inline(always)]
fn each_values<const BYTES: usize, const LEN: usize>(
    values: &[f32],
    bytes: &mut [u8],
    encode: impl Fn(&[f32; LEN], &mut [u8; BYTES]),
) {
    for (values, block) in values.as_chunks().0.iter().zip(bytes.as_chunks_mut().0) {
        encode(values, block);
    }
}

/// The half-precision number stored at byte `at` of a block.
#[inline(always)]
fn f16_at(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
