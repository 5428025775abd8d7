//! Bytes with a scale in blocks of 32.

use super::{Block, Effort, Quant, half};
use crate::cpu::simd::Simd;

pub(super) struct Q8_0;

impl Quant<8, 8, 2> for Q8_0 {
    const PARTS: usize = 1;
    const ZERO: u32 = 128;
    const WIDE: bool = true;
    const EFFORT: Effort = Effort::None;
    const FIELDS: &'static [(usize, usize)] = &[(2, 1)];

    fn pack(block: &[u8], quants: &mut [u8], side: &mut [u8]) {
        side.copy_from_slice(&block[..2]);
        quants.iter_mut().zip(&block[2..]).for_each(|(to, q)| *to = q ^ 0x80);
    }

    #[inline(always)]
    fn line<S: Simd>(s: S, block: &Block<8, 2>, _: usize, i: usize) -> S::I {
        s.bytes(&block.quants[i])
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &Block<8, 2>, _: usize) -> S::F {
        half(s, block.side, 0)
    }
}
