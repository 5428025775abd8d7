//! Blocks put together from their parts: what the codecs of `tensor` read.

use half::f16;
use tensor::{CodecError, DType};

/// The parts of one block of a quantized type. What a type does not have is not read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parts {
    /// The block's scale, rounded to half precision when it is packed.
    pub(super) scale: f32,
    /// The block's minimum (Q4_1, Q5_1: added) or the scale of its minimums (Q2_K, Q4_K, Q5_K: they are subtracted).
    pub(super) min: f32,
    /// The scales of runs of values: Q2_K 0 to 15, Q3_K and IQ4_XS -32 to 31, Q4_K and Q5_K 0 to 63, Q6_K -128 to 127. Of MXFP4 the
    /// first is the exponent's byte.
    pub(super) scales: [i8; 16],
    /// The minimums of runs of values: Q2_K 0 to 15, Q4_K and Q5_K 0 to 63.
    pub(super) mins: [u8; 16],
    /// A level for each value, from 0 on; Q8_0 has its signed bytes as they are.
    pub(super) quants: [u8; 256],
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { scale: 0.0, min: 0.0, scales: [0; 16], mins: [0; 16], quants: [0; 256] }
    }
}

/// Writes one block of `dtype`.
///
/// # Errors
/// [`CodecError::Length`] if `out` is not one block, [`CodecError::ReadOnly`] if the type is not made of such parts.
pub(super) fn pack(dtype: DType, parts: &Parts, out: &mut [u8]) -> Result<(), CodecError> {
    let values = dtype.layout().block_len;
    if dtype.row_bytes(values) != Some(out.len()) {
        return Err(CodecError::Length { dtype, bytes: out.len(), values });
    }
    let (quants, short) = (&parts.quants, parts.quants.first_chunk::<32>());
    let Some(short) = short else { return Err(CodecError::ReadOnly { dtype }) };
    match dtype {
        DType::Q8_0 => {
            put_f16(out, 0, parts.scale);
            out[2..].copy_from_slice(short);
        }
        DType::Q4_0 | DType::IQ4_NL => {
            put_f16(out, 0, parts.scale);
            put_nibbles(short, &mut out[2..]);
        }
        DType::Q4_2OF4 => q4_2of4(parts, out),
        DType::Q4_1 => {
            put_f16(out, 0, parts.scale);
            put_f16(out, 2, parts.min);
            put_nibbles(short, &mut out[4..]);
        }
        DType::Q5_0 => {
            put_f16(out, 0, parts.scale);
            out[2..6].copy_from_slice(&fifth_bits(short));
            put_nibbles(short, &mut out[6..]);
        }
        DType::Q5_1 => {
            put_f16(out, 0, parts.scale);
            put_f16(out, 2, parts.min);
            out[4..8].copy_from_slice(&fifth_bits(short));
            put_nibbles(short, &mut out[8..]);
        }
        DType::MXFP4 => {
            out[0] = parts.scales[0].cast_unsigned();
            put_nibbles(short, &mut out[1..]);
        }
        DType::Q2_K => q2(parts, out),
        DType::Q3_K => q3(parts, out),
        DType::Q4_K => {
            scales_and_mins(parts, out);
            nibbles(quants, &mut out[16..]);
        }
        DType::Q5_K => q5(parts, out),
        DType::Q6_K => q6(parts, out),
        DType::IQ4_XS => iq4_xs(parts, out),
        _ => return Err(CodecError::ReadOnly { dtype }),
    }
    Ok(())
}

/// Scale, places of the two of every four that are farthest from zero, their nibbles: see the codec.
fn q4_2of4(parts: &Parts, b: &mut [u8]) {
    b.fill(0);
    put_f16(b, 0, parts.scale);
    for (j, four) in parts.quants.as_chunks::<4>().0.iter().take(16).enumerate() {
        let mut places = [0, 1, 2, 3];
        places.sort_by_key(|place: &usize| std::cmp::Reverse(four[*place].abs_diff(8)));
        places[..2].sort_unstable();
        for (i, place) in (2 * j % 16..).zip(&places[..2]) {
            b[2 + j / 8 * 4 + i % 4] |= (*place as u8) << (i / 4 * 2);
            b[10 + i] |= four[*place] << (j / 8 * 4);
        }
    }
}

/// 16 × (scale, minimum in 4 bits each), 64 bytes of 2-bit quants, scale of scales, scale of minimums.
fn q2(parts: &Parts, b: &mut [u8]) {
    put_f16(b, 80, parts.scale);
    put_f16(b, 82, parts.min);
    for (b, (scale, min)) in b.iter_mut().zip(parts.scales.iter().zip(&parts.mins)) {
        *b = scale.cast_unsigned() & 15 | min << 4;
    }
    pairs_of_bits(&parts.quants, &mut b[16..80]);
}

/// 32 bytes of high bits, 64 bytes of 2-bit quants, 16 6-bit scales, scale of scales.
fn q3(parts: &Parts, b: &mut [u8]) {
    b.fill(0);
    put_f16(b, 108, parts.scale);
    for i in 0..16 {
        let scale = (parts.scales[i] + 32).cast_unsigned();
        b[96 + i % 8] |= (scale & 15) << (i / 8 * 4);
        b[104 + i % 4] |= scale >> 4 << (i / 4 * 2);
    }
    let mut quants = parts.quants;
    for (i, q) in quants.iter_mut().enumerate() {
        b[i % 32] |= (*q >> 2) << (i / 32);
        *q &= 3;
    }
    pairs_of_bits(&quants, &mut b[32..96]);
}

/// As Q4_K, with 32 bytes of fifth bits in front of the nibbles.
fn q5(parts: &Parts, b: &mut [u8]) {
    scales_and_mins(parts, b);
    b[16..48].fill(0);
    let mut quants = parts.quants;
    for (i, q) in quants.iter_mut().enumerate() {
        b[16 + i % 32] |= (*q >> 4) << (i / 32);
        *q &= 15;
    }
    nibbles(&quants, &mut b[48..]);
}

/// 128 bytes of nibbles, 64 bytes of upper bit pairs, 16 signed 8-bit scales, scale of scales.
fn q6(parts: &Parts, b: &mut [u8]) {
    b.fill(0);
    put_f16(b, 208, parts.scale);
    for (i, quants) in parts.quants.as_chunks::<16>().0.iter().enumerate() {
        b[192 + i] = parts.scales[i].cast_unsigned();
        let (group, j, half) = (i / 8, i / 2 % 4, i % 2 * 16);
        for (at, q) in quants.iter().enumerate() {
            b[group * 64 + j % 2 * 32 + half + at] |= (q & 15) << (j / 2 * 4);
            b[128 + group * 32 + half + at] |= q >> 4 << (j * 2);
        }
    }
}

/// A scale of scales, eight 6-bit scales (2 bytes of upper pairs, 4 bytes of nibbles), 8 × 16 bytes of nibbles.
fn iq4_xs(parts: &Parts, b: &mut [u8]) {
    b.fill(0);
    put_f16(b, 0, parts.scale);
    let mut highs = 0u16;
    for (j, quants) in parts.quants.as_chunks::<32>().0.iter().enumerate() {
        put_nibbles(quants, &mut b[8 + j * 16..][..16]);
        let scale = (parts.scales[j] + 32).cast_unsigned();
        b[4 + j / 2] |= (scale & 15) << (j % 2 * 4);
        highs |= u16::from(scale >> 4) << (2 * j);
    }
    b[2..4].copy_from_slice(&highs.to_le_bytes());
}

/// The first 16 bytes of a Q4_K or Q5_K block.
fn scales_and_mins(parts: &Parts, b: &mut [u8]) {
    put_f16(b, 0, parts.scale);
    put_f16(b, 2, parts.min);
    b[4..16].fill(0);
    for j in 0..8 {
        let (scale, min) = (parts.scales[j].cast_unsigned(), parts.mins[j]);
        if j < 4 {
            (b[4 + j], b[8 + j]) = (scale, min);
        } else {
            b[8 + j] = scale & 15 | min << 4;
            b[j] |= scale >> 4 << 6;
            b[4 + j] |= min >> 4 << 6;
        }
    }
}

/// Four runs of 32 in the bit pairs of 32 bytes, twice.
fn pairs_of_bits(quants: &[u8; 256], out: &mut [u8]) {
    for (runs, out) in quants.as_chunks::<128>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = runs[i] | runs[i + 32] << 2 | runs[i + 64] << 4 | runs[i + 96] << 6;
        }
    }
}

/// Two runs of 32 in the nibbles of 32 bytes, four times.
fn nibbles(quants: &[u8; 256], out: &mut [u8]) {
    for (runs, out) in quants.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = runs[i] | runs[i + 32] << 4;
        }
    }
}

fn put_f16(block: &mut [u8], at: usize, value: f32) {
    block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

/// Value `i` low and value `i + 16` high.
fn put_nibbles(quants: &[u8; 32], out: &mut [u8]) {
    for i in 0..16 {
        out[i] = quants[i] & 15 | quants[i + 16] << 4;
    }
}

fn fifth_bits(quants: &[u8; 32]) -> [u8; 4] {
    quants.iter().enumerate().fold(0u32, |bits, (i, q)| bits | u32::from(q >> 4 & 1) << i).to_le_bytes()
}

/// The levels that the quants of a type index, for a scale of 1: what its codec makes of each.
pub(super) fn levels(dtype: DType) -> Option<[f32; 16]> {
    let mut parts = Parts { scale: 1.0, ..Parts::default() };
    parts.quants[..16].iter_mut().zip(0..).for_each(|(quant, level)| *quant = level);
    // MXFP4 has twice its levels in the table, and halves the scale: 128 stands for 1. IQ4_XS has the scale of its first run besides.
    parts.scales[0] = if dtype == DType::MXFP4 { 128u8.cast_signed() } else { 1 };
    let layout = dtype.layout();
    let (mut bytes, mut values) = (vec![0; layout.block_bytes], vec![0.0; layout.block_len]);
    pack(dtype, &parts, &mut bytes).ok()?;
    tensor::decode(dtype, &bytes, &mut values).ok()?;
    values.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_those_of_the_codecs() {
        let iq4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113].map(|x| x as f32);
        assert_eq!(levels(DType::IQ4_NL), Some(iq4));
        assert_eq!(levels(DType::IQ4_XS), Some(iq4));
        let e2m1 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12].map(|x| x as f32);
        assert_eq!(levels(DType::MXFP4), Some(e2m1));
        assert_eq!(levels(DType::TQ1_0), None);
    }
}
