//! Q4_2OF4: of every four neighbours at most two are not zero. These have four bits, as in Q4_0, and the number of their column in two.
//!
//! A block of 64 values is a scale in half precision, twice four bytes of places and 16 bytes of nibbles: the low ones are of the first 32
//! values, the high ones of the second. Of each half, nibbles 2 · j and 2 · j + 1 are of the four values from 4 · j on. Nibble i's place among them
//! is in byte i modulo 4 of the half's places, in bits 2 · (i / 4) and the next.

use super::simple::{centered, put_f16};
use super::{each_block, each_values, f16_at};

/// Values of half a block that are not zero.
const KEPT: usize = 16;

pub(super) fn decode_q4_2of4(bytes: &[u8], out: &mut [f32]) {
    each_block::<26, 64>(bytes, out, |b, v| {
        let (d, mut levels) = (f16_at(b, 0), [0i8; 64]);
        for (half, levels) in levels.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for i in 0..KEPT {
                let place = b[2 + 4 * half + i % 4] >> (i / 4 * 2) & 3;
                // Two at the same place are added up.
                levels[i / 2 * 4 + usize::from(place)] += (b[10 + i] >> (4 * half) & 15).cast_signed() - 8;
            }
        }
        for (v, level) in v.iter_mut().zip(levels) {
            *v = d * f32::from(level);
        }
    });
}

/// Of every four the two that are farthest from zero are kept, the first of equals.
pub(super) fn encode_q4_2of4(values: &[f32], bytes: &mut [u8]) {
    each_values::<26, 64>(values, bytes, |v, b| {
        let (mut kept, mut places) = ([0.0; 2 * KEPT], [0; 8]);
        for (j, (four, kept)) in v.as_chunks::<4>().0.iter().zip(kept.as_chunks_mut::<2>().0).enumerate() {
            let two = farthest(four);
            *kept = two.map(|place| four[place]);
            for (i, place) in (2 * j % KEPT..).zip(two) {
                places[j / 8 * 4 + i % 4] |= (place as u8) << (i / 4 * 2);
            }
        }
        let (d, quants) = centered(&kept, 8.0);
        put_f16(b, 0, d);
        b[2..10].copy_from_slice(&places);
        for i in 0..KEPT {
            b[10 + i] = quants[i] | quants[i + KEPT] << 4;
        }
    });
}

/// The places of the two that are farthest from zero, in order.
fn farthest(four: &[f32; 4]) -> [usize; 2] {
    let mut order = [0, 1, 2, 3];
    order.sort_by(|&a: &usize, &b| four[b].abs().total_cmp(&four[a].abs()));
    [order[0].min(order[1]), order[0].max(order[1])]
}
