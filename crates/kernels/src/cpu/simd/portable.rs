//! Plain Rust on arrays of 16. Every machine has it, and the compiler vectorizes it as the target allows.

use std::array::from_fn;

use super::{Bytes, LANES, Simd};

/// Needs no proof.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

type F = [f32; LANES];
type I = [i32; LANES];

#[inline(always)]
fn half_bits(from: &[Bytes; 2], i: usize) -> u16 {
    let (at, line) = (2 * i % LANES, &from[2 * i / LANES]);
    u16::from_le_bytes([line[at], line[at + 1]])
}

/// The half-precision number with these bits, without branches. Its exponent and mantissa are moved to their places in an `f32`. A
/// product corrects for the difference of the exponents' biases, for subnormal numbers too.
#[inline(always)]
fn widen(bits: u32) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((112 + 127) << 23);
    let moved = f32::from_bits((bits & 0x7fff) << 13) * TWO_TO_112;
    let not_finite = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(moved.to_bits() | not_finite | (bits & 0x8000) << 16)
}

#[inline(always)]
fn zip(a: F, b: F, f: impl Fn(f32, f32) -> f32) -> F {
    from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn zip_int(a: I, b: I, f: impl Fn(i32, i32) -> i32) -> I {
    from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type F = F;
    type I = I;
    const ROWS: usize = 2;
    const TILES: usize = 1;
    const QUANT_ROWS: usize = 2;
    const QUANT_TILES: usize = 1;
    const WIDE_IS_FREE: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        *from
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: F) {
        *to = x;
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn round(self, x: F) -> I {
        // Adding and subtracting 1.5 · 2^23 rounds to even without a call. The kernels' values are far below 2^22.
        const SHIFT: f32 = 12_582_912.0;
        x.map(|x| ((x + SHIFT) - SHIFT) as i32)
    }
    #[inline(always)]
    fn float(self, x: I) -> F {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    fn with_bits(self, x: I) -> F {
        x.map(|x| f32::from_bits(x as u32))
    }
    #[inline(always)]
    fn splat_int(self, x: i32) -> I {
        [x; LANES]
    }
    #[inline(always)]
    fn unsigned(self, from: &Bytes) -> I {
        from.map(i32::from)
    }
    #[inline(always)]
    fn signed(self, from: &Bytes) -> I {
        from.map(|x| i32::from(x as i8))
    }
    #[inline(always)]
    fn f16(self, from: &[Bytes; 2]) -> F {
        from_fn(|i| widen(u32::from(half_bits(from, i))))
    }
    #[inline(always)]
    fn and(self, a: I, b: I) -> I {
        zip_int(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn or(self, a: I, b: I) -> I {
        zip_int(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn xor(self, a: I, b: I) -> I {
        zip_int(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    fn add_int(self, a: I, b: I) -> I {
        zip_int(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    fn shl(self, a: I, by: u32) -> I {
        a.map(|a| a << by)
    }
    #[inline(always)]
    fn sar(self, a: I, by: u32) -> I {
        a.map(|a| a >> by)
    }
    #[inline(always)]
    fn shr(self, a: I, by: u32) -> I {
        a.map(|a| (a as u32 >> by) as i32)
    }
    #[inline(always)]
    fn prefetch<T>(self, _place: &T, _ahead: usize) {}
    #[inline(always)]
    fn prefetch_far<T>(self, _place: &T, _ahead: usize) {}
    #[inline(always)]
    fn bytes(self, from: &[Bytes; 4]) -> I {
        let quads = from.as_flattened().as_chunks::<4>().0;
        from_fn(|i| i32::from_le_bytes(quads[i]))
    }
    #[inline(always)]
    fn store_bytes(self, to: &mut [Bytes; 4], x: I) {
        let quads = to.as_flattened_mut().as_chunks_mut::<4>().0;
        quads.iter_mut().zip(x).for_each(|(to, x)| *to = x.to_le_bytes());
    }
    #[inline(always)]
    fn lookup(self, table: &Bytes, index: I) -> I {
        index.map(|x| i32::from_le_bytes(x.to_le_bytes().map(|b| table[b as usize % LANES])))
    }
    #[inline(always)]
    fn gather<const N: usize>(self, table: &[u32; N], index: I) -> I {
        const { assert!(N.is_power_of_two()) }
        index.map(|i| table[i as usize % N] as i32)
    }
    #[inline(always)]
    fn dot(self, acc: I, u: I, x: I, _wide: bool) -> I {
        from_fn(|i| {
            let product = |b: u32| (u[i] >> (8 * b) & 255) * i32::from((x[i] >> (8 * b)) as i8);
            acc[i] + product(0) + product(1) + product(2) + product(3)
        })
    }
    #[inline(always)]
    fn narrow(self, x: I) -> Bytes {
        x.map(|x| x as u8)
    }
    #[inline(always)]
    fn sum(self, x: Bytes) -> i32 {
        x.map(|b| i32::from(b as i8)).iter().sum()
    }
    #[inline(always)]
    fn largest(self, x: F) -> f32 {
        x.iter().fold(f32::NAN, |a, &b| if a > b { a } else { b })
    }
}
