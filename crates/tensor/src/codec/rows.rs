//! Q8_ROW: bytes with one scale for each row, which is an output channel of the matrix. A row is the scale in single precision and then its
//! signed bytes. As compressed-tensors has INT8 with the strategy `channel`, so that its integers and scales are kept as they are.

use crate::DType;

/// Bytes of the scale.
const HEAD: usize = 4;

pub(super) fn decode_q8_row(bytes: &[u8], out: &mut [f32]) {
    let Some(cols) = columns(bytes.len(), out.len()) else { return };
    for (row, values) in bytes.chunks_exact(HEAD + cols).zip(out.chunks_exact_mut(cols)) {
        let Some((scale, quants)) = row.split_first_chunk() else { continue };
        let d = f32::from_le_bytes(*scale);
        for (v, q) in values.iter_mut().zip(quants) {
            *v = d * f32::from(q.cast_signed());
        }
    }
}

/// The largest magnitude of a row becomes 127; halves go to even. -128 is never written.
pub(super) fn encode_q8_row(values: &[f32], bytes: &mut [u8]) {
    let Some(cols) = columns(bytes.len(), values.len()) else { return };
    for (values, row) in values.chunks_exact(cols).zip(bytes.chunks_exact_mut(HEAD + cols)) {
        let d = values.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
        let (scale, quants) = row.split_at_mut(HEAD);
        scale.copy_from_slice(&d.to_le_bytes());
        for (q, x) in quants.iter_mut().zip(values) {
            // Not times the inverse, which is infinite for the smallest scales.
            let level = if d > 0.0 { (x / d).round_ties_even().clamp(-127.0, 127.0) } else { 0.0 };
            *q = (level as i8).cast_unsigned();
        }
    }
}

/// Columns of each row; `None` if there are none, or the two sides are not the same whole rows.
fn columns(bytes: usize, values: usize) -> Option<usize> {
    let rows = DType::Q8_ROW.rows(bytes, values)?;
    Some(values / rows).filter(|cols| *cols > 0)
}
